// A game with nothing but a NATS client: a guard hears a noise, does what the platform says, tells what came of it.
import { randomUUID } from "node:crypto";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const { username: user, password: pass, host } = new URL(process.argv[2]);
const nc = await connect({ servers: host, user, pass, inboxPrefix: `_INBOX_${user}`, maxReconnectAttempts: -1 });
const id = randomUUID();

// Publishes a message and returns what is answered about its decision, or nothing after a second.
async function tell(to, said, msgID, answers) {
  const listening = nc.subscribe(`game.castle.${answers}`);
  setTimeout(() => listening.unsubscribe(), 1000).unref();
  jetstream(nc).publish(`game.castle.${to}`, JSON.stringify(said), { msgID }).catch(console.warn);
  for await (const heard of listening) if (heard.string().includes(id)) return heard.json();
}

const who = { game: "castle", npc: "guard", kind: "patrol" };
const walk = { name: "walk", parameters: { to: { type: "string", enum: ["gate", "tower"] } }, appeal: 0.8 };
const world = { snapshot: 1, state: { noise: 3 }, legal_actions: [walk, { name: "wait" }] };
const seen = { type: "observation", id, ...who, ...world, answer_within_ms: 1000 };
const chosen = await tell("observation.guard.patrol", seen, `castle/guard/${id}`, "action.guard");
const done = chosen ?? { action: "wait", arguments: {}, source: "client" }; // the game's own fallback
console.log(`${id}: ${done.action} ${JSON.stringify(done.arguments)} by ${done.source}`);

const executed = { action: done.action, arguments: done.arguments, by: chosen ? "platform" : "client" };
const outcome = { type: "outcome_observed", decision: id, ...who, executed, success: true, facts: { seen: 2 } };
outcome.observation = chosen ? null : seen;
while (!(await tell("outcome.guard", outcome, `castle/guard/${id}/${randomUUID()}`, "stored")))
  console.log("not stored yet: once more, under a new message id");
await nc.close();
