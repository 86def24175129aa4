"""What numbers are worth: energy schemes and corrections of methods, expected errors, suspect results."""
