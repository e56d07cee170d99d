"""Judges: models that rate answers or say which of two is better, asked over any OpenAI server.

What preferences amount to is in `ochat_eval.preferences`; reading a judge's words in `graders`.
"""
