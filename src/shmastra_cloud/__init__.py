"""A team's own cloud of AI-agent workspaces."""
