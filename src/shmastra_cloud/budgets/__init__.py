"""Budgets and limits as people see and set them: a user's own, the organization's, everyone's.

BudgetError
└── UnknownOwner     neither a user's email nor `organization` nor `default`

What holds them is `shmastra_cloud.gateway` with `shmastra_cloud.leases`; here they are only told and changed.
"""

from shmastra_cloud.budgets.book import Budgets
from shmastra_cloud.budgets.changes import DEFAULT, NAMES, NONE, Change
from shmastra_cloud.budgets.errors import BudgetError, UnknownOwner
from shmastra_cloud.budgets.routes import BudgetParts, router

__all__ = [
    "DEFAULT",
    "NAMES",
    "NONE",
    "BudgetError",
    "BudgetParts",
    "Budgets",
    "Change",
    "UnknownOwner",
    "router",
]
