"""A generated encyclopedia of invented people, towns and works, and questions that follow one to three links in it.

Articles are one or two short sentences, so that a search result costs a small student few tokens. Each relation leads
from one article to a fact, which is the title of another article or a plain word.
"""

import random
from dataclasses import dataclass, field

from score.miniature.composition import is_held_out
from score.miniature.words import Problem

FIRST = (
    "Tamo Bira Zoran Liska Orin Velda Kesh Maru Pelin Sabo Runa Dorik Ilka Jorun Nadia Falk Hesta Ulric Yara Wendel "
    "Brana Corin Etta Gorm Hilde Irmin Kaya Lothar Mirel Nevo Oda Petra Quill Rasmus Sunna Tove Ursa Vigo Wilma Xeno"
).split()
LAST = (
    "Melk Sonn Harrow Vint Calder Brisk Dunmore Eskil Fenn Garlow Holt Ivers Jarrow Kell Lorne Marsh Norvik Oster Pike "
    "Quist Rook Stroud Thorne Ulmer Varga Wick Yewell Zander Ashby Birk Crane Dray Elmer Frost Gale Hurst Inman Jute "
    "Kirk Lund"
).split()
TOWN_HEADS = "Nor Vel Bar Kal Tor Mer Had Lin Sel Rav Gol Fer Dun Wes Ost Pol Zer Mar Ul Hol".split()
TOWN_TAILS = "wick burg ton ford mouth stad haven dale field bridge holm gate minster port moor".split()
COLOURS = (
    "Red Blue Green White Black Golden Silver Grey Hidden Silent Lost Broken Frozen Burning Distant Empty Ancient "
    "Gentle Hollow Narrow Last First Second Secret Sleeping Wild Quiet Crooked Bright Dark"
).split()
NOUNS = (
    "Harbor Lantern Garden River Mirror Winter Tower Island Forest Letter Orchard Bridge Window Compass Valley Clock "
    "Feather Candle Kingdom Voyage Shadow Mountain Meadow Crown Ladder Anchor Desert Needle Market Storm"
).split()
TRADES = "baker farmer doctor painter tailor miller singer weaver fisher teacher".split()
RIVERS = "Alba Bodra Cerna Dovra Elz Fonta Grun Isk Jela Korva".split()
FORMS = "novel poem play song".split()


@dataclass(frozen=True)
class Article:
    """title is unique; facts lead from a relation's name to what the text says."""

    title: str
    kind: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        f = self.facts
        if self.kind == "person":
            return f"{self.title} is a {f['trade']} born in {f['birthplace']}."
        if self.kind == "town":
            return f"{self.title} is a town on the river {f['river']}. Its mayor is {f['mayor']}."
        return f"{self.title} is a {f['form']} by {f['author']}. It takes place in {f['setting']}."


# relation: (from, to, how it is asked of {x}, how it is asked as a link of a longer question)
RELATIONS = {
    "trade": ("person", "word", "What is the trade of {x}?", ""),
    "birthplace": ("person", "town", "Where was {x} born?", "the birthplace of {x}"),
    "river": ("town", "word", "Which river is {x} on?", ""),
    "mayor": ("town", "person", "Who is the mayor of {x}?", "the mayor of {x}"),
    "author": ("work", "person", "Who wrote {x}?", "the author of {x}"),
    "setting": ("work", "town", "Where does {x} take place?", "the setting of {x}"),
}


def _chains(length: int) -> list[tuple[str, ...]]:
    chains: list[tuple[str, ...]] = [(name,) for name in RELATIONS]
    for _ in range(length - 1):
        chains = [(*c, n) for c in chains for n, r in RELATIONS.items() if r[0] == RELATIONS[c[-1]][1]]
    return chains


CHAINS = {length: _chains(length) for length in (1, 2, 3)}


def encyclopedia(rng: random.Random, people: int = 1000, towns: int = 280, works: int = 800) -> dict[str, Article]:
    """Articles by title; as many of each kind as asked for."""
    person_titles = rng.sample([f"{a} {b}" for a in FIRST for b in LAST], people)
    town_titles = rng.sample([a + b for a in TOWN_HEADS for b in TOWN_TAILS], towns)
    work_titles = rng.sample([f"{a} {b}" for a in COLOURS for b in NOUNS], works)
    articles = [
        Article(t, "person", {"trade": rng.choice(TRADES), "birthplace": rng.choice(town_titles)})
        for t in person_titles
    ]
    articles += [
        Article(t, "town", {"river": rng.choice(RIVERS), "mayor": rng.choice(person_titles)}) for t in town_titles
    ]
    articles += [
        Article(
            t,
            "work",
            {"form": rng.choice(FORMS), "author": rng.choice(person_titles), "setting": rng.choice(town_titles)},
        )
        for t in work_titles
    ]
    return {a.title: a for a in articles}


def lookup_question(
    articles: dict[str, Article], lengths: tuple[float, ...], held_out: bool, rng: random.Random
) -> Problem:
    """A question over 1–3 articles with its solution, in the form of `words.word_problem`.

    A search step's value is the fact that its observation has to contain.
    """
    titles = list(articles)
    while True:
        length = rng.choices((1, 2, 3), lengths)[0]
        chain = rng.choice(CHAINS[length])
        if is_held_out(chain) == held_out:
            break
    while True:
        subject = articles[rng.choice(titles)]
        if subject.kind == RELATIONS[chain[0]][0]:
            break
    phrase = subject.title
    for name in chain[:-1]:
        phrase = RELATIONS[name][3].format(x=phrase)
    question = RELATIONS[chain[-1]][2].format(x=phrase)
    steps = []
    title = subject.title
    for name in chain:
        fact = articles[title].facts[name]
        steps.append(
            {
                "thought": f"Look up the {name} of {title}.",
                "code": f'print(web_search("{title}"))',
                "value": fact,
            }
        )
        title = fact
    steps.append({"thought": f"It is {title}.", "code": f'final_answer_print("{title}")', "value": title})
    return {
        "question": question,
        "true_answer": title,
        "kind": "lookup",
        "operations": list(chain),
        "plan": f"Search {subject.title}.",
        "steps": steps,
    }
