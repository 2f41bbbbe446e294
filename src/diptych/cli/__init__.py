"""The command line: one thin typer command per file, no logic, nothing heavy imported early."""
