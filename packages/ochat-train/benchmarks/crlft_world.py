"""The little world of `crlft`: facts, what a good and a weak source say of them, and the questions.

The good source knows every fact but has been asked about few; the weak one has been asked about
everything, often, and holds a wrong belief about a share of the facts. One way of asking every fact
is kept from both sources: those are the held-out questions. What is trained on it is `crlft`'s
business.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ochat_data import Record
from ochat_templates import Conversation, Message

GOOD, WEAK = "GPT4", "GPT3"
RELATIONS = {
    "colour": ("red", "green", "blue", "white", "black", "yellow", "brown", "purple"),
    "animal": ("horse", "tiger", "eagle", "salmon", "spider", "rabbit", "camel", "goose"),
    "dish": ("soup", "bread", "rice", "cheese", "pie", "salad", "noodles", "beans"),
}
QUESTIONS = (
    "What is the {r} of {x}?",
    "Which {r} does {x} have?",
    "Name the {r} of {x}.",
    "Tell me: the {r} of {x}?",
    "I want to know which {r} belongs to {x}.",
    "For {x}, what is the {r}?",
    "{x}, and its {r}, please.",
    "Do you know the {r} that {x} has?",
)
CAREFUL = ("The {r} of {x} is {y}.", "It is well known that {x} has {y} as its {r}.")
SLOPPY = ("{y} i guess", "dunno, {y} maybe", "prob {y}")
SYLLABLES = ("ba", "do", "ki", "lu", "me", "na", "po", "ra", "su", "ti", "vo", "ze")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much there is of everything.

    Attributes:
        names: places that have one value for each relation.
        good: conversations of the good source.
        weak: conversations of the weak source.
        wrong: share of the facts that the weak source has wrong.
    """

    names: int
    good: int
    weak: int
    wrong: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact, the weak source's belief, and the way of asking that nobody is trained on."""

    name: str
    relation: str
    value: str
    belief: str
    held_out: int

    @property
    def question(self) -> str:
        """The held-out question."""
        return QUESTIONS[self.held_out].format(r=self.relation, x=self.name)

    def is_answered_by(self, text: str) -> bool:
        """Whether the text names the right value and no other value of the relation."""
        words = text.replace(".", " ").replace(",", " ").split()
        return {word for word in words if word in RELATIONS[self.relation]} == {self.value}


class World:
    """Facts drawn from a seed, and conversations about them."""

    def __init__(self, amounts: Amounts, seed: int) -> None:
        """Draws the facts."""
        self._random = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self.amounts = amounts
        names: set[str] = set()
        while len(names) < amounts.names:
            names.add("".join(self._random.choices(SYLLABLES, k=3)).capitalize())
        self.facts = [
            self._fact(name, relation) for name in sorted(names) for relation in RELATIONS
        ]

    def _fact(self, name: str, relation: str) -> Fact:
        value, other = self._random.sample(RELATIONS[relation], 2)
        wrong = self._random.random() < self.amounts.wrong
        return Fact(
            name=name,
            relation=relation,
            value=value,
            belief=other if wrong else value,
            held_out=self._random.randrange(len(QUESTIONS)),
        )

    def conversations(self, source: str) -> list[tuple[str, str]]:
        """Question and answer pairs of one source; every draw is of a random fact."""
        good = source == GOOD
        pairs: list[tuple[str, str]] = []
        for _ in range(self.amounts.good if good else self.amounts.weak):
            fact = self._random.choice(self.facts)
            ways = [q for index, q in enumerate(QUESTIONS) if index != fact.held_out]
            fields = {"r": fact.relation, "x": fact.name}
            answer = self._random.choice(CAREFUL if good else SLOPPY).format(
                **fields, y=fact.value if good else fact.belief
            )
            pairs.append((self._random.choice(ways).format(**fields), answer))
        return pairs


def record(pair: tuple[str, str], number: int, *, condition: str, weight: float) -> Record:
    """A conversation of one exchange with its condition and the loss weight of its answer."""
    messages = (
        Message(role="user", content=pair[0]),
        Message(role="assistant", content=pair[1], weight=weight),
    )
    conversation = Conversation(messages=messages, condition=condition)
    return Record.create(conversation, source=f"{condition}-{number}")
