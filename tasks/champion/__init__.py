"""Registry of champions, and the rule for promoting a challenger."""
