"""What an unreliable or hostile wire does to a purchase."""
