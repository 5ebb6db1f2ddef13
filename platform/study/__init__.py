"""What a study is: YAML, domains, conditions, the checks before anything starts, the plan."""
