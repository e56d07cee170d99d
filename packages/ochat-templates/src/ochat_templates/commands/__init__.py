"""The sub-commands of `ochat-templates`, one a module: its options and what it prints."""
