"""What routes of webhooks take and answer."""
