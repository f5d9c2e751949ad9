CREATE TABLE meter_accounts (
    account text NOT NULL COLLATE pg_catalog."C",
    granted_wei numeric NOT NULL,
    reserved_wei numeric NOT NULL,
    charged_wei numeric NOT NULL,
    basis_wei numeric NOT NULL,
    epoch bigint NOT NULL,
    CONSTRAINT meter_accounts_check CHECK (((reserved_wei >= (0)::numeric) AND (charged_wei >= (0)::numeric) AND ((reserved_wei + charged_wei) <= granted_wei)))
);
CREATE TABLE meter_api_keys (
    key_id text NOT NULL COLLATE pg_catalog."C",
    digest text NOT NULL,
    consumer text NOT NULL COLLATE pg_catalog."C",
    tier text NOT NULL,
    label text NOT NULL,
    created_ms bigint NOT NULL,
    revoked_ms bigint
);
CREATE TABLE meter_batches (
    api text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    created_ms bigint NOT NULL,
    lines text NOT NULL,
    records bigint NOT NULL,
    root text NOT NULL
);
CREATE TABLE meter_bodies (
    record_id text NOT NULL COLLATE pg_catalog."C",
    request_body bytea,
    response_body bytea
);
CREATE TABLE meter_channels (
    channel_id text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    salt text NOT NULL,
    signed_wei numeric NOT NULL,
    charged_wei numeric NOT NULL,
    reserved_wei numeric NOT NULL,
    posted_wei numeric NOT NULL,
    batched_wei numeric NOT NULL,
    vouchers text NOT NULL,
    CONSTRAINT meter_channels_check CHECK (((reserved_wei >= (0)::numeric) AND (charged_wei >= batched_wei) AND ((reserved_wei + charged_wei) <= signed_wei) AND (posted_wei <= signed_wei)))
);
CREATE TABLE meter_claims (
    consumer text NOT NULL COLLATE pg_catalog."C",
    claim_key text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL,
    reservation_id text NOT NULL,
    expires_ms bigint NOT NULL,
    status bigint,
    headers text,
    body bytea
);
CREATE TABLE meter_consumers (
    consumer text NOT NULL COLLATE pg_catalog."C",
    tier text NOT NULL COLLATE pg_catalog."C",
    disabled bigint NOT NULL,
    quotas text NOT NULL,
    budgets text NOT NULL,
    version bigint NOT NULL
);
CREATE TABLE meter_counts (
    counter text NOT NULL COLLATE pg_catalog."C",
    starts_ms bigint NOT NULL,
    ends_ms bigint NOT NULL,
    used numeric NOT NULL
);
CREATE TABLE meter_documents (
    name text NOT NULL COLLATE pg_catalog."C",
    content text NOT NULL
);
CREATE TABLE meter_fired (
    name text NOT NULL COLLATE pg_catalog."C",
    expires_ms bigint NOT NULL
);
CREATE TABLE meter_grants (
    grant_id text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL,
    amount_wei numeric NOT NULL,
    at_ms bigint NOT NULL,
    note text NOT NULL
);
CREATE TABLE meter_leaves (
    api text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    place bigint NOT NULL,
    leaves bytea NOT NULL
);
CREATE TABLE meter_names (
    name text NOT NULL,
    whole text NOT NULL
);
CREATE TABLE meter_numbers (
    name text NOT NULL COLLATE pg_catalog."C",
    value bigint NOT NULL
);
CREATE TABLE meter_requests (
    record_id text NOT NULL COLLATE pg_catalog."C",
    at_ms bigint NOT NULL,
    api text NOT NULL COLLATE pg_catalog."C",
    consumer text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    tier text NOT NULL COLLATE pg_catalog."C",
    method text NOT NULL,
    route text NOT NULL,
    request_id text NOT NULL,
    estimate_wei numeric NOT NULL,
    windows text NOT NULL,
    claim_key text,
    claim_fingerprint text,
    claim_expires_ms bigint NOT NULL,
    channel text NOT NULL,
    voucher_wei numeric NOT NULL,
    state text NOT NULL,
    expires_ms bigint NOT NULL,
    units bigint NOT NULL,
    more_wei numeric NOT NULL,
    charged_wei numeric NOT NULL,
    uncollected_wei numeric NOT NULL,
    ended_ms bigint NOT NULL,
    late bigint NOT NULL,
    code text NOT NULL,
    status bigint NOT NULL,
    duration_ms bigint NOT NULL,
    response_bytes bigint NOT NULL,
    error text NOT NULL,
    tags text NOT NULL,
    batch bigint NOT NULL
);
CREATE TABLE meter_sessions (
    account text NOT NULL COLLATE pg_catalog."C",
    signer text NOT NULL,
    channels text NOT NULL,
    closing bigint NOT NULL
);
CREATE TABLE meter_tiers (
    name text NOT NULL COLLATE pg_catalog."C",
    monthly_calls text,
    retention_days bigint NOT NULL,
    quotas text NOT NULL
);
CREATE TABLE meter_usage_days (
    api text NOT NULL COLLATE pg_catalog."C",
    consumer text NOT NULL COLLATE pg_catalog."C",
    day bigint NOT NULL,
    calls bigint NOT NULL,
    units numeric NOT NULL,
    charged_wei numeric NOT NULL,
    uncollected_wei numeric NOT NULL
);
INSERT INTO meter_accounts VALUES ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbH584f40c9b83122783493ce56cf05f0cb6e85f7e4c849e3c92d94cd4829e0538d', 1606938044258990275541962092341162602522202993782792835301376, 0, 0, 1606938044258990275541962092341162602522202993782792835301376, 1);
INSERT INTO meter_accounts VALUES ('payer/weather', 1000, 60, 80, 1000, 1);
INSERT INTO meter_accounts VALUES ('acme/weather', 99900000000000000000000, 100, 1180691620717411303434, 99900000000000000000000, 2);
INSERT INTO meter_api_keys VALUES ('aaaaaaaa', 'd1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1', 'acme', 'pro', 'the first', 1773576000000, NULL);
INSERT INTO meter_api_keys VALUES ('cccccccc', 'd3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3', 'payer', '', '', 1773576000002, NULL);
INSERT INTO meter_api_keys VALUES ('bbbbbbbb', 'd2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2', 'acme', '', 'näme0E', 1773576000001, 1773576000005);
INSERT INTO meter_batches VALUES ('weather', 1, 1773576000100, '[["acme/weather","acme",20527,4,"1180691620717411303427"],["payer/weather","payer",20527,1,"80","0x0000000000000000000000000000000000000000000000000000000000000001",["0x0000000000000000000000000000000000000000000000000000000000000001","200","0x00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000c8"],false]]', 5, '45604c6256a410081ba104f978647190224509d6483a6252da18494c5e65a602');
INSERT INTO meter_bodies VALUES ('00000000000000000000000001', '\x61736b656400ff', '\x');
INSERT INTO meter_bodies VALUES ('00000000000000000000000002', '\x61736b656400ff', '\x');
INSERT INTO meter_bodies VALUES ('00000000000000000000000003', '\x61736b656400ff', '\x');
INSERT INTO meter_bodies VALUES ('00000000000000000000000004', '\x61736b656400ff', '\x');
INSERT INTO meter_channels VALUES ('0x0000000000000000000000000000000000000000000000000000000000000001', 'payer/weather', '0x0000000000000000000000000000000000000000000000000000000000000001', 500, 80, 60, 200, 80, '[["200","0x00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000c8"],["300","0x000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000012c"],["500","0x00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001f4"]]');
INSERT INTO meter_claims VALUES ('acme', 'key', 'GET /', '00000000000000000000000001', 1773662400000, 200, '[["content-type","text/plain"]]', '\x73657276656400ff');
INSERT INTO meter_claims VALUES ('acme', 'held', 'GET /', '00000000000000000000000006', 1773662400000, NULL, NULL, NULL);
INSERT INTO meter_consumers VALUES ('payer', 'pro', 1, '[]', '[]', 3);
INSERT INTO meter_consumers VALUES ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbH584f40c9b83122783493ce56cf05f0cb6e85f7e4c849e3c92d94cd4829e0538d', 'enterprise', 0, '[]', '[]', 4);
INSERT INTO meter_consumers VALUES ('acme', 'gold', 0, '[["day","day",5,"calls","2026-01-31"]]', '[{"name":"m","period":"month","limit_wei":"1000000000000000000","steps":[[80,"warn"],[100,"reject"]],"scope":"consumer","only":"","anchor":null,"retry_after_seconds":0}]', 5);
INSERT INTO meter_counts VALUES ('acme/day', 1773532800000, 1773619200000, 5);
INSERT INTO meter_counts VALUES ('acme/spend', 1773532800000, 1773619200000, 1180691620717411303527);
INSERT INTO meter_documents VALUES ('pepper', '"of a pepper"');
INSERT INTO meter_documents VALUES ('lease/settler', '["somebody",1773576060000]');
INSERT INTO meter_documents VALUES ('book/weather', '["0xc0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0",7,0,[]]');
INSERT INTO meter_documents VALUES ('last/weather', '1');
INSERT INTO meter_documents VALUES ('account/payer/weather', '[1,0,80,0,[1,1000,0,0,false,false,"",0,0,0,0,0,0,0,0,-1,false,"0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",0],[],[],0]');
INSERT INTO meter_documents VALUES ('account/acme/weather', '[0,0,1180691620717411303427,0,[0,0,0,0,false,false,"",0,0,0,0,0,0,0,0,-1,false,"",0],[],[],0]');
INSERT INTO meter_documents VALUES ('posting/1/weather', '["posted",7,1,1773576000200,[],"",0,0,[],0,[]]');
INSERT INTO meter_fired VALUES ('low credit', 1773662400000);
INSERT INTO meter_grants VALUES ('first', 'acme/weather', 100000000000000000000000, 1773576000000, 'a note');
INSERT INTO meter_grants VALUES ('second', 'acme/weather', -100000000000000000000, 1773576000000, '');
INSERT INTO meter_grants VALUES ('third', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 1606938044258990275541962092341162602522202993782792835301376, 1773576000000, '');
INSERT INTO meter_leaves VALUES ('weather', 1, 0, '\x502bad856c7dba328d20d7a42080a2ec3546800a3b9676b2f7ee93cd57cf66bf87988a501a16da69cf365d43bbc94ea697942a92775a2ea2371373871359dce7c5d32be7bcc216dedc073bf236cc07200fc7ac0f0faf26a808e02e0673b407eafc146d2616261fb1fc1f803fe26a75493279bb3b6776aaca50cf80ef4c594b44eefff7cbf3da728aab1a0b476ea471892cad1239771b4b182ba6a6dd4133aebd');
INSERT INTO meter_names VALUES ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbH584f40c9b83122783493ce56cf05f0cb6e85f7e4c849e3c92d94cd4829e0538d', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb');
INSERT INTO meter_numbers VALUES ('schema', 4);
INSERT INTO meter_numbers VALUES ('settling', 0);
INSERT INTO meter_numbers VALUES ('tiers_version', 1);
INSERT INTO meter_numbers VALUES ('version', 5);
INSERT INTO meter_requests VALUES ('00000000000000000000000005', 1773576000000, 'weather', 'acme', 'acme/weather', 'gold', 'GET', '/weather/{city}', 'request 5', 100, '[["acme/day",1773532800000,1773619200000,"calls"],["acme/spend",1773532800000,1773619200000,"wei"]]', NULL, NULL, 1773662400000, '', 0, 'released', 1773576060000, 1, 0, 0, 0, 1773576000030, 0, '', 500, 0, 0, 'ValueError', '', 0);
INSERT INTO meter_requests VALUES ('00000000000000000000000006', 1773576000000, 'weather', 'acme', 'acme/weather', 'gold', 'GET', '/weather/{city}', 'request 6', 100, '[["acme/day",1773532800000,1773619200000,"calls"],["acme/spend",1773532800000,1773619200000,"wei"]]', 'held', 'GET /', 1773662400000, '', 0, 'reserved', 1773576060000, 1, 0, 0, 0, 0, 0, '', 0, 0, 0, '', '', 0);
INSERT INTO meter_requests VALUES ('00000000000000000000000007', 1773576000000, 'weather', 'näme0E', 'acme/weather', 'gold', 'GET', 'näme0E', 'request 7', 100, '[]', NULL, NULL, 1773662400000, '', 0, 'expired', 1773576000001, 1, 0, 0, 0, 1773576000002, 0, '', 0, 0, 0, '', '', 0);
INSERT INTO meter_requests VALUES ('00000000000000000000000008', 1773576000000, 'weather', 'acme', 'acme/weather', 'gold', 'GET', '/', 'request 8', 7, '[]', NULL, NULL, 0, '', 0, 'refused', 0, 1, 0, 0, 0, 0, 0, 'quota_exceeded', 429, 0, 0, '', '', 0);
INSERT INTO meter_requests VALUES ('00000000000000000000000001', 1773576000000, 'weather', 'acme', 'acme/weather', 'gold', 'GET', '/weather/{city}', 'request 1', 1180591620717411303424, '[["acme/day",1773532800000,1773619200000,"calls"],["acme/spend",1773532800000,1773619200000,"wei"]]', 'key', 'GET /', 1773662400000, '', 0, 'settled', 1773576060000, 1, 0, 100000000000000000, 0, 1773576000020, 0, '', 200, 12, 345, '', '{"model":"m"}', 1);
INSERT INTO meter_requests VALUES ('00000000000000000000000002', 1773576000000, 'weather', 'acme', 'acme/weather', 'gold', 'GET', '/weather/{city}', 'request 2', 1180591620717411303424, '[["acme/day",1773532800000,1773619200000,"calls"],["acme/spend",1773532800000,1773619200000,"wei"]]', NULL, NULL, 1773662400000, '', 0, 'settled', 1773576060000, 2, 0, 3, 0, 1773576000020, 0, '', 200, 12, 345, '', '{"model":"m"}', 1);
INSERT INTO meter_requests VALUES ('00000000000000000000000003', 1773576000000, 'weather', 'acme', 'acme/weather', 'gold', 'GET', '/weather/{city}', 'request 3', 1180591620717411303424, '[["acme/day",1773532800000,1773619200000,"calls"],["acme/spend",1773532800000,1773619200000,"wei"]]', NULL, NULL, 1773662400000, '', 0, 'settled', 1773576060000, 3, 0, 0, 0, 1773576000020, 0, '', 200, 12, 345, '', '{"model":"m"}', 1);
INSERT INTO meter_requests VALUES ('00000000000000000000000004', 1773576000000, 'weather', 'acme', 'acme/weather', 'gold', 'GET', '/weather/{city}', 'request 4', 1180591620717411303424, '[["acme/day",1773532800000,1773619200000,"calls"],["acme/spend",1773532800000,1773619200000,"wei"]]', NULL, NULL, 1773662400000, '', 0, 'settled', 1773576060000, 4, 0, 1180591620717411303424, 0, 1773576000020, 0, '', 200, 12, 345, '', '{"model":"m"}', 1);
INSERT INTO meter_requests VALUES ('00000000000000000000000010', 1773576000000, 'weather', 'payer', 'payer/weather', 'gold', 'GET', '/weather/{city}', 'request 10', 100, '[]', NULL, NULL, 1773662400000, '0x0000000000000000000000000000000000000000000000000000000000000001', 200, 'settled', 1773576060000, 1, 0, 80, 0, 1773576000020, 0, '', 0, 0, 0, '', '', 1);
INSERT INTO meter_requests VALUES ('00000000000000000000000009', 1773576000000, 'weather', 'payer', 'payer/weather', 'gold', 'GET', '/weather/{city}', 'request 9', 60, '[]', NULL, NULL, 1773662400000, '0x0000000000000000000000000000000000000000000000000000000000000001', 300, 'reserved', 1773576060000, 1, 0, 0, 0, 0, 0, '', 0, 0, 0, '', '', 0);
INSERT INTO meter_requests VALUES ('00000000000000000000000011', 1773576000000, 'news', 'acme', 'acme/weather', 'gold', 'GET', '/weather/{city}', 'request 11', 7, '[]', NULL, NULL, 1773662400000, '', 0, 'settled', 1773576060000, 1, 0, 7, 0, 1773576000040, 0, '', 0, 0, 0, '', '', 0);
INSERT INTO meter_sessions VALUES ('payer/weather', '0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e', '["0x0000000000000000000000000000000000000000000000000000000000000001"]', 0);
INSERT INTO meter_tiers VALUES ('enterprise', NULL, 365, '[]');
INSERT INTO meter_tiers VALUES ('free', '1000', 7, '[]');
INSERT INTO meter_tiers VALUES ('premium', '50000', 90, '[]');
INSERT INTO meter_tiers VALUES ('pro', '10000', 30, '[]');
INSERT INTO meter_tiers VALUES ('gold', '500', 400, '[["week","week",100000000000000000000,"wei",null]]');
INSERT INTO meter_usage_days VALUES ('weather', 'acme', 20527, 4, 10, 1180691620717411303427, 0);
INSERT INTO meter_usage_days VALUES ('weather', 'payer', 20527, 1, 1, 80, 0);
INSERT INTO meter_usage_days VALUES ('news', 'acme', 20527, 1, 1, 7, 0);
ALTER TABLE ONLY meter_accounts
    ADD CONSTRAINT meter_accounts_pkey PRIMARY KEY (account);
ALTER TABLE ONLY meter_api_keys
    ADD CONSTRAINT meter_api_keys_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY meter_batches
    ADD CONSTRAINT meter_batches_pkey PRIMARY KEY (api, sequence);
ALTER TABLE ONLY meter_bodies
    ADD CONSTRAINT meter_bodies_pkey PRIMARY KEY (record_id);
ALTER TABLE ONLY meter_channels
    ADD CONSTRAINT meter_channels_pkey PRIMARY KEY (channel_id);
ALTER TABLE ONLY meter_claims
    ADD CONSTRAINT meter_claims_pkey PRIMARY KEY (consumer, claim_key);
ALTER TABLE ONLY meter_consumers
    ADD CONSTRAINT meter_consumers_pkey PRIMARY KEY (consumer);
ALTER TABLE ONLY meter_counts
    ADD CONSTRAINT meter_counts_pkey PRIMARY KEY (counter, starts_ms);
ALTER TABLE ONLY meter_documents
    ADD CONSTRAINT meter_documents_pkey PRIMARY KEY (name);
ALTER TABLE ONLY meter_fired
    ADD CONSTRAINT meter_fired_pkey PRIMARY KEY (name);
ALTER TABLE ONLY meter_grants
    ADD CONSTRAINT meter_grants_pkey PRIMARY KEY (grant_id);
ALTER TABLE ONLY meter_leaves
    ADD CONSTRAINT meter_leaves_pkey PRIMARY KEY (api, sequence, place);
ALTER TABLE ONLY meter_names
    ADD CONSTRAINT meter_names_pkey PRIMARY KEY (name);
ALTER TABLE ONLY meter_numbers
    ADD CONSTRAINT meter_numbers_pkey PRIMARY KEY (name);
ALTER TABLE ONLY meter_requests
    ADD CONSTRAINT meter_requests_pkey PRIMARY KEY (record_id);
ALTER TABLE ONLY meter_sessions
    ADD CONSTRAINT meter_sessions_pkey PRIMARY KEY (account);
ALTER TABLE ONLY meter_tiers
    ADD CONSTRAINT meter_tiers_pkey PRIMARY KEY (name);
ALTER TABLE ONLY meter_usage_days
    ADD CONSTRAINT meter_usage_days_pkey PRIMARY KEY (api, consumer, day);
CREATE INDEX meter_api_keys_of_consumer ON meter_api_keys USING btree (consumer);
CREATE INDEX meter_claims_by_expiry ON meter_claims USING btree (expires_ms) WHERE (status IS NOT NULL);
CREATE INDEX meter_counts_by_end ON meter_counts USING btree (ends_ms);
CREATE INDEX meter_fired_by_expiry ON meter_fired USING btree (expires_ms);
CREATE INDEX meter_requests_of_consumer ON meter_requests USING btree (consumer, record_id);
CREATE INDEX meter_requests_of_tier ON meter_requests USING btree (tier, at_ms);
CREATE INDEX meter_requests_open ON meter_requests USING btree (expires_ms) WHERE (state = 'reserved'::text);
CREATE INDEX meter_requests_to_settle ON meter_requests USING btree (api, record_id) WHERE ((state = 'settled'::text) AND (batch = 0));
