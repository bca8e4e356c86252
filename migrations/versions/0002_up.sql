-- From the first schema to the complete record: experiences by days, big texts by hash, rollups, ratings.
-- Runs in one transaction. The old tables are set aside, their rows copied, then they are dropped.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE SCHEMA before;
ALTER TABLE npcs SET SCHEMA before;
ALTER TABLE decisions SET SCHEMA before;
ALTER TABLE outcomes SET SCHEMA before;
ALTER TABLE experiences SET SCHEMA before;

CREATE TABLE npcs (
    game TEXT NOT NULL, 
    npc TEXT NOT NULL, 
    decisions BIGINT NOT NULL, 
    experiences BIGINT NOT NULL, 
    successes BIGINT NOT NULL, 
    won BIGINT NOT NULL, 
    lost BIGINT NOT NULL, 
    reward_sum DOUBLE PRECISION NOT NULL, 
    rank BIGINT, 
    villages BIGINT, 
    population BIGINT, 
    PRIMARY KEY (game, npc)
);

COMMENT ON COLUMN npcs.won IS 'battles, by the fact `victory`';

COMMENT ON COLUMN npcs.rank IS 'the last fact of that name';

COMMENT ON COLUMN npcs.villages IS 'likewise';

COMMENT ON COLUMN npcs.population IS 'likewise';

CREATE TABLE personas (
    game TEXT NOT NULL, 
    persona TEXT NOT NULL, 
    experiences BIGINT NOT NULL, 
    successes BIGINT NOT NULL, 
    reward_sum DOUBLE PRECISION NOT NULL, 
    reward_squares DOUBLE PRECISION NOT NULL, 
    PRIMARY KEY (game, persona)
);

COMMENT ON COLUMN personas.reward_squares IS 'the sum of the rewards'' squares';

CREATE TABLE variants (
    game TEXT NOT NULL, 
    experiment TEXT NOT NULL, 
    variant TEXT NOT NULL, 
    experiences BIGINT NOT NULL, 
    successes BIGINT NOT NULL, 
    reward_sum DOUBLE PRECISION NOT NULL, 
    reward_squares DOUBLE PRECISION NOT NULL, 
    tokens_in BIGINT NOT NULL, 
    tokens_out BIGINT NOT NULL, 
    cost_usd DOUBLE PRECISION NOT NULL, 
    latency_ms DOUBLE PRECISION NOT NULL, 
    PRIMARY KEY (game, experiment, variant)
);

COMMENT ON COLUMN variants.reward_squares IS 'the sum of the rewards'' squares';

COMMENT ON COLUMN variants.latency_ms IS 'the sum';

CREATE TABLE training_metrics (
    game TEXT NOT NULL, 
    day DATE NOT NULL, 
    decisions BIGINT NOT NULL, 
    experiences BIGINT NOT NULL, 
    successes BIGINT NOT NULL, 
    reward_sum DOUBLE PRECISION NOT NULL, 
    predicted BIGINT NOT NULL, 
    foreseen BIGINT NOT NULL, 
    undetailed BIGINT NOT NULL, 
    unknown BIGINT NOT NULL, 
    tokens_in BIGINT NOT NULL, 
    tokens_out BIGINT NOT NULL, 
    cost_usd DOUBLE PRECISION NOT NULL, 
    prompts_optimised INTEGER, 
    prompt_gain DOUBLE PRECISION, 
    generation INTEGER, 
    fitness_mean DOUBLE PRECISION, 
    fitness_best DOUBLE PRECISION, 
    tests_active INTEGER, 
    tests_completed INTEGER, 
    PRIMARY KEY (game, day)
);

COMMENT ON COLUMN training_metrics.predicted IS 'experiences whose result was predicted';

COMMENT ON COLUMN training_metrics.foreseen IS 'predictions that came true: decision accuracy';

COMMENT ON COLUMN training_metrics.undetailed IS 'experiences whose detail was lost';

COMMENT ON COLUMN training_metrics.unknown IS 'experiences whose decision was lost with the broker';

COMMENT ON COLUMN training_metrics.prompt_gain IS 'by how much prompts got better, on average';

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
    adapter TEXT, 
    template TEXT, 
    persona TEXT, 
    speech TEXT, 
    reasoning TEXT, 
    confidence DOUBLE PRECISION, 
    attempt INTEGER, 
    stages_ms JSONB, 
    tier TEXT, 
    partition INTEGER, 
    epoch BIGINT, 
    observation JSONB, 
    state BYTEA, 
    legal_actions BYTEA, 
    features HALFVEC(64), 
    prompt JSONB, 
    answer BYTEA, 
    route TEXT, 
    worker TEXT, 
    adapter_sha256 TEXT, 
    behaviour JSONB, 
    variant TEXT, 
    experiment TEXT, 
    related JSONB, 
    tokens_in INTEGER, 
    tokens_cached INTEGER, 
    tokens_out INTEGER, 
    cost_usd DOUBLE PRECISION, 
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    PRIMARY KEY (game, decision)
);

CREATE INDEX decisions_by_time ON decisions USING brin (received_at);

COMMENT ON COLUMN decisions.observation IS 'when and how urgent it was; the rest of it follows';

COMMENT ON COLUMN decisions.state IS 'the state before, a document';

COMMENT ON COLUMN decisions.legal_actions IS 'a document';

COMMENT ON COLUMN decisions.features IS 'of the state, to find cases like it';

COMMENT ON COLUMN decisions.prompt IS 'its turns: role and document, as hexadecimal digits';

COMMENT ON COLUMN decisions.answer IS 'a document';

COMMENT ON COLUMN decisions.related IS 'earlier decisions that stood in the prompt, or that this is a step of';

CREATE TABLE outcomes (
    game TEXT NOT NULL, 
    decision TEXT NOT NULL, 
    happened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    npc TEXT NOT NULL, 
    kind TEXT NOT NULL, 
    episode TEXT NOT NULL, 
    action TEXT NOT NULL, 
    arguments JSONB NOT NULL, 
    executed_by TEXT NOT NULL, 
    why TEXT NOT NULL, 
    success BOOLEAN NOT NULL, 
    facts JSONB NOT NULL, 
    state_after BYTEA NOT NULL, 
    game_time DOUBLE PRECISION NOT NULL, 
    opponent TEXT, 
    answers JSONB NOT NULL, 
    observation JSONB, 
    state BYTEA, 
    legal_actions BYTEA, 
    features HALFVEC(64), 
    digest BYTEA NOT NULL, 
    sequence BIGINT NOT NULL, 
    trace_id TEXT, 
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    settled_at TIMESTAMP WITH TIME ZONE, 
    PRIMARY KEY (game, decision, happened_at)
);

CREATE INDEX outcomes_by_time ON outcomes USING brin (received_at);

CREATE INDEX outcomes_parked ON outcomes (received_at) WHERE settled_at IS NULL;

COMMENT ON COLUMN outcomes.happened_at IS 'when the broker stored it';

COMMENT ON COLUMN outcomes.state_after IS 'a document';

COMMENT ON COLUMN outcomes.answers IS 'earlier decisions that this one answers, as a blow or an offer';

COMMENT ON COLUMN outcomes.observation IS 'what was seen, where the platform never answered; the rest of it follows';

COMMENT ON COLUMN outcomes.state IS 'the state before, a document';

COMMENT ON COLUMN outcomes.legal_actions IS 'a document';

COMMENT ON COLUMN outcomes.digest IS 'of the body, to tell a repetition from a contradiction';

COMMENT ON COLUMN outcomes.sequence IS 'in the EXPERIENCE stream';

COMMENT ON COLUMN outcomes.settled_at IS 'when it became an experience; null while it waits for its decision';

CREATE TABLE experiences (
    game TEXT NOT NULL, 
    decision TEXT NOT NULL, 
    happened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    npc TEXT NOT NULL, 
    kind TEXT NOT NULL, 
    episode TEXT NOT NULL, 
    game_time DOUBLE PRECISION NOT NULL, 
    decided_at TIMESTAMP WITH TIME ZONE, 
    snapshot BIGINT, 
    observation JSONB, 
    state BYTEA, 
    legal_actions BYTEA, 
    features HALFVEC(64), 
    persona TEXT, 
    behaviour JSONB, 
    related JSONB, 
    action TEXT NOT NULL, 
    arguments JSONB NOT NULL, 
    source TEXT NOT NULL, 
    why TEXT, 
    speech TEXT, 
    reasoning TEXT, 
    confidence DOUBLE PRECISION, 
    tier TEXT, 
    route TEXT, 
    model TEXT, 
    adapter TEXT, 
    adapter_sha256 TEXT, 
    template TEXT, 
    experiment TEXT, 
    variant TEXT, 
    prompt JSONB, 
    answer BYTEA, 
    tokens_in INTEGER, 
    tokens_cached INTEGER, 
    tokens_out INTEGER, 
    cost_usd DOUBLE PRECISION, 
    latency_ms DOUBLE PRECISION, 
    stages_ms JSONB, 
    success BOOLEAN NOT NULL, 
    facts JSONB NOT NULL, 
    state_after BYTEA NOT NULL, 
    opponent TEXT, 
    answers JSONB NOT NULL, 
    reward DOUBLE PRECISION NOT NULL, 
    reward_parts JSONB NOT NULL, 
    trace_id TEXT, 
    long_term_reward DOUBLE PRECISION, 
    long_term_parts JSONB, 
    n_step_return DOUBLE PRECISION, 
    long_term_at TIMESTAMP WITH TIME ZONE, 
    PRIMARY KEY (game, decision, happened_at)
)
 PARTITION BY RANGE (happened_at);

CREATE TABLE experiences_rest PARTITION OF experiences DEFAULT;

CREATE INDEX experiences_by_kind ON experiences (game, kind, happened_at);

CREATE INDEX experiences_by_npc ON experiences (game, npc, happened_at);

CREATE INDEX experiences_due ON experiences (happened_at) WHERE long_term_at IS NULL;

CREATE INDEX experiences_on_trial ON experiences (game, experiment, variant, happened_at) WHERE experiment <> '';

COMMENT ON COLUMN experiences.happened_at IS 'when the broker stored the outcome';

COMMENT ON COLUMN experiences.state IS 'before, a document';

COMMENT ON COLUMN experiences.legal_actions IS 'a document';

COMMENT ON COLUMN experiences.features IS 'of the state, to find cases like it';

COMMENT ON COLUMN experiences.related IS 'earlier decisions that stood in the prompt, or that this is a step of';

COMMENT ON COLUMN experiences.source IS 'the platform''s; client where its own fallback was executed; unknown where the decision was lost';

COMMENT ON COLUMN experiences.prompt IS 'its turns: role and document, as hexadecimal digits';

COMMENT ON COLUMN experiences.answer IS 'a document';

COMMENT ON COLUMN experiences.latency_ms IS 'from the observation to the action, on the platform''s side';

COMMENT ON COLUMN experiences.state_after IS 'a document';

COMMENT ON COLUMN experiences.answers IS 'earlier decisions that this one answers, as a blow or an offer';

COMMENT ON COLUMN experiences.long_term_at IS 'when it was computed last';

CREATE TABLE links (
    game TEXT NOT NULL, 
    earlier TEXT NOT NULL, 
    decision TEXT NOT NULL, 
    how TEXT NOT NULL, 
    npc TEXT NOT NULL, 
    happened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    PRIMARY KEY (game, earlier, decision, how)
);

COMMENT ON TABLE links IS 'how a decision refers to an earlier one: `answers` it, as a blow or an offer, or `recalls` it in its prompt';

COMMENT ON COLUMN links.npc IS 'whose decision the later one is';

CREATE TABLE documents (
    game TEXT NOT NULL, 
    key BYTEA NOT NULL, 
    body TEXT NOT NULL, 
    PRIMARY KEY (game, key)
)
 PARTITION BY RANGE (key);

CREATE TABLE documents_rest PARTITION OF documents DEFAULT;

COMMENT ON TABLE documents IS 'states, legal actions, prompts and answers, each once a day';

COMMENT ON COLUMN documents.key IS 'the day in 2 bytes and a hash in 14';

CREATE TABLE ratings (
    game TEXT NOT NULL, 
    decision TEXT NOT NULL, 
    about TEXT NOT NULL, 
    rater TEXT NOT NULL, 
    npc TEXT NOT NULL, 
    score DOUBLE PRECISION NOT NULL, 
    rated_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    PRIMARY KEY (game, decision, about, rater)
);

COMMENT ON COLUMN ratings.rated_at IS 'by the broker''s clock: the last word of a rater counts';

CREATE FUNCTION partition_bound(parent text, day date) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    CASE parent
        WHEN 'documents' THEN
            RETURN quote_literal('\x' || lpad(to_hex(day - date '1970-01-01'), 4, '0'));
        WHEN 'experiences' THEN
            RETURN quote_literal(to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00');
    END CASE;
END $$;

CREATE FUNCTION make_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
    at text := CASE parent WHEN 'documents' THEN 'key' ELSE 'happened_at' END;
    low text := partition_bound(parent, day);
    high text := partition_bound(parent, day + 1);
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_rest');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %I WHERE %I >= %s AND %I < %s RETURNING *) INSERT INTO %I SELECT * FROM moved',
        parent || '_rest', at, low, at, high, part
    );
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, part, low, high);
    RETURN true;
END $$;

CREATE FUNCTION detach_partition(parent text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM partition_bound(parent, day);
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
    EXECUTE format('GRANT SELECT ON %I TO %I', part, session_user);
END $$;

CREATE FUNCTION drop_detached(parent text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM partition_bound(parent, day);
    IF EXISTS (SELECT FROM pg_class WHERE oid = part::regclass AND relispartition) THEN
        RAISE EXCEPTION '% is still in use', part;
    END IF;
    EXECUTE format('DROP TABLE %I', part);
END $$;


-- The rows that were there. A document's key is its day, in 2 bytes, and a hash of it.

CREATE FUNCTION before.key_of(body text, at timestamptz) RETURNS bytea LANGUAGE sql AS $$
    SELECT decode(lpad(to_hex((coalesce(at, now()) AT TIME ZONE 'UTC')::date - date '1970-01-01'), 4, '0'), 'hex')
        || substr(sha256(convert_to(body, 'UTF8')), 1, 14)
$$;

INSERT INTO documents (game, key, body)
SELECT game, before.key_of(body, at), body FROM (
    SELECT game, decided_at AS at, (observation -> 'state')::text AS body FROM before.decisions
    UNION SELECT game, decided_at, (observation -> 'legal_actions')::text FROM before.decisions
    UNION SELECT game, decided_at, answer FROM before.decisions WHERE answer <> ''
    UNION SELECT game, happened_at, (observation -> 'state')::text FROM before.outcomes
    UNION SELECT game, happened_at, (observation -> 'legal_actions')::text FROM before.outcomes
    UNION SELECT game, happened_at, state_after::text FROM before.outcomes
) AS said WHERE body IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO decisions (
    game, decision, npc, kind, episode, trace_id, decided_at, snapshot, action, arguments, source, why, model, speech, reasoning,
    confidence, attempt, stages_ms, tier, partition, epoch, observation, state, legal_actions, answer, worker, tokens_in,
    tokens_out
)
SELECT
    game, decision, npc, kind, episode, trace_id, decided_at, snapshot, action, arguments, source, why, model, speech, reasoning,
    confidence, attempt, stages_ms, tier, partition, epoch, observation - 'state' - 'legal_actions',
    before.key_of((observation -> 'state')::text, decided_at),
    before.key_of((observation -> 'legal_actions')::text, decided_at),
    before.key_of(nullif(answer, ''), decided_at), worker, tokens_in, tokens_out
FROM before.decisions;

INSERT INTO outcomes (
    game, decision, happened_at, npc, kind, episode, action, arguments, executed_by, why, success, facts, state_after, game_time,
    answers, observation, state, legal_actions, digest, sequence, trace_id, received_at, settled_at
)
SELECT
    game, decision, happened_at, npc, kind, episode, action, arguments, executed_by, why, success, facts,
    before.key_of(state_after::text, happened_at), game_time, '[]', observation - 'state' - 'legal_actions',
    before.key_of((observation -> 'state')::text, happened_at),
    before.key_of((observation -> 'legal_actions')::text, happened_at), digest, sequence, trace_id, received_at, settled_at
FROM before.outcomes;

INSERT INTO experiences (
    game, decision, happened_at, npc, kind, episode, game_time, decided_at, snapshot, observation, state, legal_actions,
    action, arguments, source, why, speech, reasoning, confidence, tier, model, answer, tokens_in, tokens_out, stages_ms,
    success, facts, state_after, answers, reward, reward_parts, trace_id
)
SELECT
    lived.game, lived.decision, lived.happened_at, lived.npc, lived.kind, lived.episode, lived.game_time, d.decided_at,
    d.snapshot, coalesce(d.observation, o.observation), coalesce(d.state, o.state),
    coalesce(d.legal_actions, o.legal_actions), lived.action, lived.arguments, lived.source, coalesce(d.why, o.why),
    d.speech, d.reasoning, d.confidence, d.tier, d.model, d.answer, d.tokens_in, d.tokens_out, d.stages_ms,
    lived.success, o.facts, o.state_after, '[]', lived.reward, lived.reward_parts, lived.trace_id
FROM before.experiences AS lived
JOIN outcomes AS o USING (game, decision, happened_at)
LEFT JOIN decisions AS d ON d.game = lived.game AND d.decision = lived.decision AND d.npc = lived.npc;

INSERT INTO npcs (game, npc, decisions, experiences, successes, won, lost, reward_sum, rank)
SELECT n.game, n.npc, n.decisions, n.experiences, coalesce(sums.successes, 0), coalesce(sums.won, 0), coalesce(sums.lost, 0),
    n.reward_sum, n.rank
FROM before.npcs AS n
LEFT JOIN (
    SELECT game, npc, count(*) FILTER (WHERE success) AS successes,
        count(*) FILTER (WHERE facts -> 'victory' = 'true') AS won,
        count(*) FILTER (WHERE facts -> 'victory' = 'false') AS lost
    FROM experiences GROUP BY 1, 2
) AS sums USING (game, npc);

DROP SCHEMA before CASCADE;
