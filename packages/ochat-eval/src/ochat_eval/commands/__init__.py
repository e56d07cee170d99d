"""The sub-commands of `ochat-eval`, one module each; they parse, call and print, nothing more."""
