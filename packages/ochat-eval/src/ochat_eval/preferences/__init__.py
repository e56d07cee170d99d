"""Which of two answers a judge preferred, counted: win rates, length control, biases of the judge.

Asking a judge is the business of `ochat_eval.judging`.
"""
