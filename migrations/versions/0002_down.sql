-- Back to the first schema. Its tables get back what they had; what only the second one has is dropped.

CREATE SCHEMA after;
ALTER TABLE npcs SET SCHEMA after;
ALTER TABLE decisions SET SCHEMA after;
ALTER TABLE outcomes SET SCHEMA after;
ALTER TABLE experiences SET SCHEMA after;
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'after.experiences'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET SCHEMA after', part);
    END LOOP;
END $$;

CREATE TABLE npcs (
    game TEXT NOT NULL,
    npc TEXT NOT NULL,
    decisions BIGINT NOT NULL,
    experiences BIGINT NOT NULL,
    reward_sum DOUBLE PRECISION NOT NULL,
    rank BIGINT,
    PRIMARY KEY (game, npc)
);

COMMENT ON COLUMN npcs.rank IS 'the last fact of that name';

CREATE TABLE decisions (
    game TEXT NOT NULL,
    decision TEXT NOT NULL,
    npc TEXT NOT NULL,
    kind TEXT NOT NULL,
    episode TEXT NOT NULL,
    trace_id TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    snapshot BIGINT,
    action TEXT,
    arguments JSONB,
    source TEXT,
    why TEXT,
    model TEXT,
    speech TEXT,
    reasoning TEXT,
    confidence DOUBLE PRECISION,
    attempt INTEGER,
    stages_ms JSONB,
    tier TEXT,
    partition INTEGER,
    epoch BIGINT,
    observation JSONB,
    answer TEXT,
    worker TEXT,
    tokens_in INTEGER,
    tokens_out INTEGER,
    PRIMARY KEY (game, decision)
);

COMMENT ON COLUMN decisions.observation IS 'the state before and the legal actions, without the players'' words';

CREATE TABLE outcomes (
    game TEXT NOT NULL,
    happened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    decision TEXT NOT NULL,
    npc TEXT NOT NULL,
    kind TEXT NOT NULL,
    episode TEXT NOT NULL,
    action TEXT NOT NULL,
    arguments JSONB NOT NULL,
    executed_by TEXT NOT NULL,
    why TEXT NOT NULL,
    success BOOLEAN NOT NULL,
    facts JSONB NOT NULL,
    state_after JSONB NOT NULL,
    game_time DOUBLE PRECISION NOT NULL,
    observation JSONB,
    digest BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    trace_id TEXT,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (game, happened_at, decision)
);

CREATE INDEX outcomes_by_decision ON outcomes (game, decision);

CREATE INDEX outcomes_parked ON outcomes (received_at) WHERE settled_at IS NULL;

COMMENT ON COLUMN outcomes.happened_at IS 'when the broker stored it';

COMMENT ON COLUMN outcomes.observation IS 'what was seen, where the platform never answered';

COMMENT ON COLUMN outcomes.digest IS 'of the body, to tell a repetition from a contradiction';

COMMENT ON COLUMN outcomes.sequence IS 'in the EXPERIENCE stream';

COMMENT ON COLUMN outcomes.settled_at IS 'when it became an experience or expired; null while it waits for its decision';

CREATE TABLE experiences (
    game TEXT NOT NULL,
    happened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    decision TEXT NOT NULL,
    npc TEXT NOT NULL,
    kind TEXT NOT NULL,
    episode TEXT NOT NULL,
    action TEXT NOT NULL,
    arguments JSONB NOT NULL,
    source TEXT NOT NULL,
    success BOOLEAN NOT NULL,
    reward DOUBLE PRECISION NOT NULL,
    reward_parts JSONB NOT NULL,
    state_after JSONB NOT NULL,
    game_time DOUBLE PRECISION NOT NULL,
    trace_id TEXT,
    PRIMARY KEY (game, happened_at, decision)
);

COMMENT ON COLUMN experiences.source IS 'the platform''s, or client where its own fallback was executed';

INSERT INTO npcs SELECT game, npc, decisions, experiences, reward_sum, rank FROM after.npcs;

CREATE FUNCTION after.body_of(of_game text, of_key bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT body FROM documents WHERE game = of_game AND key = of_key
$$;

CREATE FUNCTION after.seen(game text, observation jsonb, state bytea, legal_actions bytea) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT observation || jsonb_build_object(
        'state', after.body_of(game, state)::jsonb, 'legal_actions', after.body_of(game, legal_actions)::jsonb
    )
$$;

INSERT INTO decisions
SELECT
    game, decision, npc, kind, episode, trace_id, decided_at, snapshot, action, arguments, source, why, model, speech, reasoning,
    confidence, attempt, stages_ms, tier, partition, epoch, after.seen(game, observation, state, legal_actions),
    CASE WHEN tier IS NOT NULL THEN coalesce(after.body_of(game, answer), '') END, worker, tokens_in, tokens_out
FROM after.decisions;

INSERT INTO outcomes
SELECT
    game, happened_at, decision, npc, kind, episode, action, arguments, executed_by, why, success, facts,
    coalesce(after.body_of(game, state_after)::jsonb, '{}'), game_time, after.seen(game, observation, state, legal_actions),
    digest, sequence, trace_id, received_at, settled_at
FROM after.outcomes;

INSERT INTO experiences
SELECT
    game, happened_at, decision, npc, kind, episode, action, arguments, source, success, reward, reward_parts,
    coalesce(after.body_of(game, state_after)::jsonb, '{}'), game_time, trace_id
FROM after.experiences;

DROP SCHEMA after CASCADE;
DROP TABLE personas, variants, training_metrics, links, documents, ratings;
DROP FUNCTION make_partition, detach_partition, drop_detached, partition_bound;

-- The extension stays: it may have been there before, and it is in nobody's way.
