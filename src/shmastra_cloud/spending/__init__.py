"""What was used and what it cost, by day: the pages about it, for a user and for the admin."""

from shmastra_cloud.spending.days import Days, DayUsage, Usage
from shmastra_cloud.spending.routes import Budget, SpendingParts, router

__all__ = ["Budget", "DayUsage", "Days", "SpendingParts", "Usage", "router"]
