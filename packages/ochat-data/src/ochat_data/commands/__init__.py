"""The sub-commands of `ochat-data`, one module each: arguments in, calls of the library out."""
