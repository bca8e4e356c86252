"""Everything that `check-game` can find wrong with a game: what it means and what to do. The page in docs is made of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["error", "warning"]
ERROR: Level = "error"
WARNING: Level = "warning"


class Mistake(NamedTuple):
    """An error breaks a promise, or the platform refuses the message; with a warning it works, and not as well."""

    name: str
    level: Level
    means: str
    do: str


MESSAGES = (
    Mistake(
        "invalid-json",
        ERROR,
        "The body of a message is not JSON in UTF-8.",
        "Write it with a JSON library, and send nothing else on these subjects.",
    ),
    Mistake(
        "wrong-message",
        ERROR,
        "The `type` of a message does not belong on its subject.",
        "Send `observation`, `event` and `outcome_observed` on the subject of that name. An outcome must say its type.",
    ),
    Mistake(
        "unknown-version",
        ERROR,
        "The message has a major version `v` that the platform does not read.",
        "Write `1`, or leave `v` out.",
    ),
    Mistake(
        "missing-field",
        ERROR,
        "A field that has no default is missing.",
        "Compare the message with its table in messages.md and add the field.",
    ),
    Mistake(
        "wrong-type",
        ERROR,
        "A field has another type than the contract says, or is outside its limits. Facts are plain values, never null.",
        "Compare the field at the path given with its table in messages.md.",
    ),
    Mistake(
        "bad-id",
        ERROR,
        "An id has other characters than letters, digits, `_` and `-`, or is longer than 64, or empty.",
        "Make ids of your own for what has other names; a shown name belongs into `state`.",
    ),
    Mistake(
        "misplaced",
        ERROR,
        "Subject and body disagree about the game, the NPC or the kind.",
        "Build the subject from the very fields of the message.",
    ),
    Mistake(
        "non-finite",
        ERROR,
        "A number is NaN or infinite, for which JSON has no word.",
        "Leave the field out, or say it with a number or a word of your own.",
    ),
    Mistake(
        "number-too-large",
        ERROR,
        "A whole number is beyond 2^53, where not every language reads it exactly.",
        "Send it as a string.",
    ),
    Mistake(
        "too-large",
        ERROR,
        "A message is larger than the platform takes: 128 KiB for an observation or event, 384 KiB for an outcome.",
        "Put less into `state`: what the NPC itself would look at now.",
    ),
    Mistake(
        "unknown-field",
        WARNING,
        "A message has a field that the contract does not know, and that nobody will read.",
        "Correct its spelling, or move it into `state` or `facts`.",
    ),
)

OBSERVATIONS = (
    Mistake(
        "nothing-legal",
        ERROR,
        "An observation has no legal action, so there is nothing to choose from.",
        "Add one for doing nothing, such as `wait`, or ask only when there is something to decide.",
    ),
    Mistake(
        "same-action-twice",
        ERROR,
        "Two legal actions of an observation have the same name.",
        "Make them one action with a parameter.",
    ),
    Mistake(
        "bounds-upside-down",
        ERROR,
        "The minimum of a parameter is above its maximum.",
        "Leave the action out while no value is possible.",
    ),
    Mistake(
        "default-not-legal",
        ERROR,
        "The default of a parameter is not in its `enum`, or not between its bounds.",
        "Compute the default from the same numbers as the bounds, or leave it out.",
    ),
    Mistake(
        "id-used-twice",
        ERROR,
        "Two different observations have the same id. The second one is taken for the first, sent again.",
        "Make a new id for each observation, in each run of the game: time and chance, or a UUID.",
    ),
    Mistake(
        "message-id-shared",
        ERROR,
        "Two different messages have the same `Nats-Msg-Id`. The broker swallows the second one.",
        "Set it to `<game>/<npc>/<id of the observation>`.",
    ),
    Mistake(
        "message-id-not-own",
        WARNING,
        "The `Nats-Msg-Id` does not begin with the game, so that it can be the same as another game's.",
        "Set it to `<game>/<npc>/<id of the observation>`; for an outcome, add a part that differs each time it is sent.",
    ),
    Mistake(
        "no-message-id",
        WARNING,
        "An observation or event has no header `Nats-Msg-Id`. Sent again after a time-out, it is decided twice.",
        "Set it to `<game>/<npc>/<id of the observation>`.",
    ),
    Mistake(
        "snapshot-backwards",
        ERROR,
        "An NPC's snapshot is lower than one before it in the same episode: dropped while a newer one is being decided.",
        "Count snapshots up with the world, and begin another `episode` where the world begins anew.",
    ),
    Mistake(
        "deadline-out-of-range",
        ERROR,
        "`answer_within_ms` is not between 1 and 300,000.",
        "Give the time that the game can wait, in milliseconds. For what takes longer, ask again.",
    ),
    Mistake(
        "deadline-too-short",
        WARNING,
        "`answer_within_ms` is below 50: an answer has hardly the time to travel, and most will be fallbacks.",
        "Ask earlier and give more time; 200 and more lets a model answer.",
    ),
)

ACTIONS = (
    Mistake(
        "answer-ignored",
        ERROR,
        "Actions that were sent at once were not executed. A warning where others were.",
        "Subscribe to `game.<game>.action.*` before the first observation, and match actions by `decision`.",
    ),
    Mistake(
        "gives-up-early",
        ERROR,
        "An action that came shortly before the deadline was not executed.",
        "Wait as long as `answer_within_ms` says, or say less.",
    ),
    Mistake(
        "stands-still",
        ERROR,
        "The platform stayed silent, and the NPC did nothing more.",
        "Start a timer of `answer_within_ms` with each observation; when it ends, choose a legal action yourself.",
    ),
    Mistake(
        "fallback-not-reported",
        ERROR,
        "The platform stayed silent, the game went on, and no outcome said what it did instead.",
        "Report the fallback like any action, with `by` set to `client`.",
    ),
    Mistake(
        "late-executed",
        ERROR,
        "An action that came after the deadline was executed.",
        "Forget a decision when its time is up, and pass over actions whose `decision` nobody waits for.",
    ),
    Mistake(
        "second-executed",
        ERROR,
        "A second action for a decision was executed, after the first or instead of it.",
        "Take the first action of a decision and pass over every other.",
    ),
    Mistake(
        "outdated-executed",
        ERROR,
        "An action of an earlier decision, of an older snapshot, was executed when it came again.",
        "Execute an action only while its `decision` is the one that is waited for.",
    ),
    Mistake(
        "future-refused",
        ERROR,
        "An action with fields and a source that do not exist yet was not executed.",
        "Pass over fields that you do not know, and take `source` as a word and not as one of a list.",
    ),
)

OUTCOMES = (
    Mistake(
        "no-outcome",
        ERROR,
        "An action was sent in time and no outcome came. A warning where the game still runs and reports others.",
        "Report each decision once, also where it failed. Where actions take long in your game, raise `--seconds`.",
    ),
    Mistake(
        "outcome-of-nothing",
        ERROR,
        "An outcome names a decision for which there was no observation.",
        "Put the id of the observation, which is the action's `decision`, into the outcome's `decision`.",
    ),
    Mistake(
        "outcome-of-another",
        ERROR,
        "The outcome has another NPC or kind than the observation of its decision.",
        "Copy `npc` and `kind` from the action.",
    ),
    Mistake(
        "outcome-changed",
        ERROR,
        "A decision was reported twice, with different content. The first one counts, the other is refused.",
        "Report once, and keep the very bytes for sending them again.",
    ),
    Mistake(
        "not-chosen",
        ERROR,
        "The outcome says that the platform's action was executed, and names another one or other arguments.",
        "Put into `executed` what the action said. Where the game does something else, `by` is `client`.",
    ),
    Mistake(
        "not-legal",
        ERROR,
        "What was executed was neither chosen nor legal.",
        "Execute only what the observation itself listed, within its bounds; check the game's own fallback too.",
    ),
    Mistake(
        "wrong-by",
        ERROR,
        "`by` in `executed` does not say whose action it was.",
        "Write `platform` for an action that came, `client` for the game's own, and nothing else.",
    ),
    Mistake(
        "fallback-without-observation",
        WARNING,
        "The outcome of a fallback lacks `observation`. Where the platform never saw it, nobody can learn from it.",
        "Copy the whole observation into the outcome's `observation` when `by` is `client`.",
    ),
    Mistake(
        "no-facts",
        WARNING,
        "An outcome tells of success and has no facts, so that there is nothing to reward.",
        "Say in `facts` what changed: resources, losses, rank, what was seen.",
    ),
)

CONNECTION = (
    Mistake(
        "silent",
        ERROR,
        "Nothing was heard from the game.",
        "Connect it to the address that is printed at the start, with the name and password that are in it.",
    ),
    Mistake(
        "crashed",
        ERROR,
        "The game ended with an error.",
        "See the end of what it printed.",
    ),
    Mistake(
        "publish-denied",
        ERROR,
        "The broker refused a message, since the game may not publish on its subject.",
        "A game publishes on `game.<game>.observation.<npc>.<kind>`, `….event.<npc>.<kind>` and `….outcome.<npc>` alone.",
    ),
    Mistake(
        "subscribe-denied",
        ERROR,
        "The broker refused a subscription of the game.",
        "Set the client's inbox prefix to `_INBOX_game_<game>`; beside it, subscribe to `game.<game>.action.*` and "
        "`game.<game>.stored` alone.",
    ),
    Mistake(
        "credentials-refused",
        WARNING,
        "Somebody was refused for a wrong name or password.",
        "Use the whole address as it is printed: the user is `game_<game>`.",
    ),
    Mistake(
        "never-sends-again",
        ERROR,
        "An outcome that was not confirmed on `game.<game>.stored` was not sent again within 10 seconds.",
        "Keep each outcome until `stored` names its decision, and send what is older than some seconds again.",
    ),
    Mistake(
        "sent-again-under-same-id",
        ERROR,
        "An outcome was sent again under the same `Nats-Msg-Id`, so that the broker swallows it.",
        "Add a part that counts up: `<game>/<npc>/<decision>/outcome-1`, then `-2`.",
    ),
    Mistake(
        "sends-again-for-ever",
        WARNING,
        "An outcome is still sent again long after it was confirmed.",
        "Forget the decisions that a message on `game.<game>.stored` names.",
    ),
    Mistake(
        "not-back",
        ERROR,
        "The broker was away for a second, and the game did not come back.",
        "Let the client reconnect without limit, and let an error while the broker is away not end the game.",
    ),
)

GROUPS = {
    "Messages": MESSAGES,
    "Observations and events": OBSERVATIONS,
    "Actions": ACTIONS,
    "Outcomes": OUTCOMES,
    "The connection": CONNECTION,
}

MISTAKES = {mistake.name: mistake for group in GROUPS.values() for mistake in group}
"""Each by its name."""
