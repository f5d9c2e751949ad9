-- The tables of postgresql://. Executed once, in one transaction, by whoever opens an empty schema first.
-- Names sort by their bytes (collate "C"). Names of any length are keys: meter_key shortens the long ones.

create function meter_key(name text) returns text language plpgsql immutable strict parallel safe as $$
begin
    if octet_length(name) <= 400 then
        return name;
    end if;
    -- A name as it is sent never has an escape character before an H, so that no other name gets this key.
    return left(name, 80) || e'\x1bH' || encode(sha256(convert_to(name, 'UTF8')), 'hex');
end $$;

create table meter_state (
    only_one boolean primary key default true check (only_one),
    schema_version int not null, version bigint not null default 0, tiers_version bigint not null default 0
);

create table meter_tiers (
    name text collate "C" primary key, monthly_calls numeric, retention_days bigint not null, quotas text not null
);

create table meter_consumers (
    consumer_key text collate "C" primary key, consumer text not null, tier text collate "C" not null,
    disabled boolean not null, quotas text not null, budgets text not null, version bigint not null
);

create table meter_keys (
    key text collate "C" primary key, key_id text collate "C" not null, digest text not null, consumer text not null,
    tier text not null, label text not null, created_ms bigint not null, revoked_ms bigint
);
create index meter_keys_of_consumer on meter_keys (meter_key(consumer));

create table meter_accounts (
    account text collate "C" primary key,
    granted numeric(78, 0) not null default 0, reserved numeric(78, 0) not null default 0,
    charged numeric(78, 0) not null default 0, basis numeric(78, 0) not null default 0, epoch bigint not null default 0,
    check (reserved >= 0 and charged >= 0 and reserved + charged <= granted)
) with (fillfactor = 50);

create table meter_grants (
    grant_id text collate "C" primary key, account text not null, amount numeric(79, 0) not null, at_ms bigint not null,
    note text not null
);

create table meter_counts (
    counter text collate "C", starts_ms bigint, ends_ms bigint not null, used numeric not null check (used >= 0),
    primary key (counter, starts_ms)
) with (fillfactor = 50);
create index meter_counts_by_end on meter_counts (ends_ms);

-- One row for each request, from its reservation (or refusal) on.
create table meter_records (
    record_id text collate "C" primary key, at_ms bigint not null, state text not null, api text not null,
    consumer text not null, account text not null, tier text not null, method text not null, route text not null,
    request_id text not null, units bigint not null, estimate numeric(78, 0) not null,
    charged numeric(78, 0) not null default 0, uncollected numeric(78, 0) not null default 0,
    ended_ms bigint not null default 0, late boolean not null default false, code text not null default '',
    status int not null default 0, duration_ms bigint not null default 0, response_bytes bigint not null default 0,
    error text not null default '', tags text not null default '', request_body bytea, response_body bytea,
    batch bigint not null default 0, expires_ms bigint not null default 0,
    counters text[], starts bigint[], ends bigint[], in_wei boolean[], stripes int[],
    claim_key text, fingerprint text, claim_expires_ms bigint not null default 0
) with (fillfactor = 80);
create index meter_records_open on meter_records (expires_ms, record_id) where state = 'reserved';
create index meter_records_of_consumer on meter_records (meter_key(consumer), record_id);
create index meter_records_to_settle on meter_records (meter_key(api), record_id) where state = 'settled' and batch = 0;
create index meter_records_of_tier on meter_records (left(tier, 64) collate "C", at_ms);

create table meter_claims (
    consumer text collate "C", claim_key text collate "C", fingerprint text not null,
    reservation_id text collate "C" not null, expires_ms bigint not null, status int, headers text, body bytea,
    primary key (consumer, claim_key)
);
create index meter_claims_by_expiry on meter_claims (expires_ms) where status is not null;

create table meter_usage (
    api_key text collate "C", consumer_key text collate "C", day bigint, api text not null, consumer text not null,
    calls bigint not null, units numeric not null, charged numeric not null, uncollected numeric not null,
    primary key (api_key, consumer_key, day)
) with (fillfactor = 50);
create index meter_usage_of_consumer on meter_usage (consumer_key, day);

create table meter_batches (
    api_key text collate "C", sequence bigint, created_ms bigint not null, lines text not null, records bigint not null,
    root text not null,
    primary key (api_key, sequence)
);

-- What a batch's root is made of, in the pieces that it was cut in, each after so many others.
create table meter_leaves (
    api_key text collate "C", sequence bigint, before bigint, leaves bytea not null,
    primary key (api_key, sequence, before)
);

-- Where settlement stands, see settlement/rules.py: leases, credit that is on the chain, batches on their way.
create table meter_settlement (key text collate "C" primary key, document text not null);

create table meter_fired (alert text collate "C" primary key, expires_ms bigint not null);
create index meter_fired_by_expiry on meter_fired (expires_ms);
