"""The scene's rules: whatever is legal and whatever happens, nobody gives gold away, and each wish has its price."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hearthmind import legal, scripted
from hearthmind.testing.observations import an_observation
from village.people import ASKS, HOURS, PLACES, ROLES, STOCK_MAX, TRUST_FIRST, TRUST_MAX
from village.scene import Scene, Villager, Visit, price
from village.visitors import visits

from ..minds import any_of

seeds = st.integers(0, 2**32)
WISHES = ("", *ASKS, *(ware for role in ROLES for ware in role.sells))


def smith_and(wish: str, purse: int = 100) -> tuple[Scene, Visit]:
    scene = Scene(1)
    (smith,) = (villager for villager in scene.villagers if villager.role.name == "smith")
    return scene, Visit("visitor1a", smith, wish, purse)


def check(villager: Villager) -> None:
    assert villager.place in PLACES
    assert set(villager.stock) == set(villager.role.sells)
    assert all(0 <= count <= STOCK_MAX for count in villager.stock.values())
    assert all(0 <= trust <= TRUST_MAX for trust in villager.trust.values())


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_whatever_is_legal_nobody_loses_gold_and_nothing_goes_below_its_price(seed: int) -> None:
    scene, dice = Scene(1), Random(seed)
    for _ in range(2 * len(HOURS)):
        for villager in scene.villagers:
            answer = any_of(scene.routine(villager), dice)
            scene.live(villager, answer.action, answer.arguments)
        for visit, words in visits(scene, seed):
            for _ in words:
                gold, purse = visit.villager.gold, visit.purse
                answer = any_of(scene.replies(visit), dice)
                facts = scene.reply(visit, answer.action, answer.arguments)
                gained = visit.villager.gold - gold
                assert gained == purse - visit.purse == facts["gold_gained"]
                assert gained >= (visit.villager.role.sells[str(facts["traded"])] if facts["traded"] else 0)
                assert visit.purse >= 0
        for villager in scene.villagers:
            check(villager)
        scene.turn += 1


@settings(deadline=None, max_examples=60)
@given(seeds, st.sampled_from(WISHES), st.integers(0, 20))
def test_a_visitor_is_content_with_what_they_wished_for_and_nothing_else(seed: int, wish: str, purse: int) -> None:
    scene, visit = smith_and(wish, purse)
    answer = any_of(scene.replies(visit), Random(seed))
    facts = scene.reply(visit, answer.action, answer.arguments)
    told = answer.action == "say" and answer.arguments["topic"] == wish
    asked = price(visit.villager.role, wish, int(answer.arguments["extra_percent"])) if facts["traded"] else 0
    assert facts["content"] == (told or bool(facts["traded"]))
    assert facts["traded"] in {"", wish}
    assert asked <= purse
    assert facts["trust"] == TRUST_FIRST + (1 if facts["content"] else -1)


def test_the_last_ware_is_sold_once() -> None:
    scene, visit = smith_and("knives")
    visit.villager.stock["knives"] = 1
    replies = [scene.reply(visit, "trade", {"ware": "knives", "extra_percent": 50}) for _ in range(2)]
    assert [reply["gold_gained"] for reply in replies] == [12, 0]
    assert [reply["content"] for reply in replies] == [True, False]


def test_what_is_sold_out_is_no_longer_offered_and_work_makes_it_again() -> None:
    scene, visit = smith_and("")
    smith = visit.villager
    smith.stock = dict.fromkeys(smith.stock, 0)
    assert "trade" not in {action.name for action in scene.replies(visit)}
    assert scene.live(smith, "work", {})["made"]
    assert "trade" in {action.name for action in scene.replies(visit)}


def test_the_scripted_day_is_work_at_ones_place_and_the_evening_at_the_inn() -> None:
    scene = Scene(1)
    places: dict[int, set[str]] = {}
    for _ in HOURS:
        for villager in scene.villagers:
            observation = an_observation(legal_actions=scene.routine(villager))
            answer = scripted.choose(observation)
            assert legal.problem(observation, answer.action, answer.arguments) is None
            scene.live(villager, answer.action, answer.arguments)
        places[scene.hour] = {villager.place for villager in scene.villagers}
        scene.turn += 1
    assert places[HOURS[-1]] == {"inn"}
    assert places[12] == {role.place for role in ROLES}


def test_a_villager_who_cannot_read_tells_one_thing_after_the_other() -> None:
    scene, visit = smith_and("")
    topics = []
    for _ in visit.villager.role.knows:
        answer = scripted.choose(an_observation(legal_actions=scene.replies(visit)))
        topics.append(answer.arguments["topic"])
        scene.reply(visit, answer.action, answer.arguments)
    assert topics == list(visit.villager.role.knows)
    assert scripted.choose(an_observation(legal_actions=scene.replies(visit))).action == "trade"


def test_visits_are_a_matter_of_the_seed_and_some_speak_twice_in_a_row() -> None:
    def week(seed: int) -> list[tuple[str, str, list[str]]]:
        scene, found = Scene(1), []
        for scene.turn in range(7 * len(HOURS)):
            found += [(visit.villager.name, visit.wish, words) for visit, words in visits(scene, seed)]
        return found

    assert week(1) == week(1) != week(2)
    assert {len(words) for _, _, words in week(1)} == {1, 2}
    assert {"", "news", "cheese"} < {wish for _, wish, _ in week(1)}
