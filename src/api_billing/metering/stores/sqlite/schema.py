"""The tables of ``sqlite://``. Amounts are decimal text, as SQLite's integers end at 2^63; counts of windows too."""

from __future__ import annotations

from typing import Final

VERSION: Final = 1

SCHEMA: Final = """
create table meta (name text primary key, value integer not null) without rowid;

create table tiers (
    name text primary key, monthly_calls integer, retention_days integer not null, quotas text not null
) without rowid;

create table consumers (
    consumer text primary key, tier text not null, disabled integer not null,
    quotas text not null, budgets text not null, version integer not null
) without rowid;

create table api_keys (
    key_id text primary key, digest text not null, consumer text not null, tier text not null, label text not null,
    created_ms integer not null, revoked_ms integer
) without rowid;

create table accounts (
    account text primary key, granted_wei text not null, reserved_wei text not null, charged_wei text not null,
    basis_wei text not null, epoch integer not null
) without rowid;

create table grants (
    grant_id text primary key, account text not null, amount_wei text not null, at_ms integer not null,
    note text not null
) without rowid;

create table counts (
    counter text not null, starts_ms integer not null, ends_ms integer not null, used text not null,
    primary key (counter, starts_ms)
) without rowid;
create index counts_by_end on counts (ends_ms);

-- One row for each request, from its reservation (or refusal) on. Ids sort by time, so that rows are appended.
create table requests (
    record_id text primary key, at_ms integer not null, state text not null, api text not null, consumer text not null,
    account text not null, tier text not null, method text not null, route text not null, request_id text not null,
    units integer not null, estimate_wei text not null, windows text not null,
    claim_key text, claim_fingerprint text, claim_expires_ms integer not null, expires_ms integer not null,
    charged_wei text not null default '0', uncollected_wei text not null default '0',
    ended_ms integer not null default 0, late integer not null default 0, code text not null default '',
    status integer not null default 0, duration_ms integer not null default 0,
    response_bytes integer not null default 0, error text not null default '', tags text not null default '',
    batch integer not null default 0
) without rowid;
create index requests_open on requests (expires_ms) where state = 'reserved';
create index requests_of_consumer on requests (consumer, record_id);
create index requests_to_settle on requests (api, record_id) where state = 'settled' and batch = 0;

create table bodies (record_id text primary key, request_body blob, response_body blob) without rowid;

create table claims (
    consumer text not null, claim_key text not null, fingerprint text not null, reservation_id text not null,
    expires_ms integer not null, status integer, headers text, body blob,
    primary key (consumer, claim_key)
) without rowid;
create index claims_by_expiry on claims (expires_ms);

create table usage_days (
    api text not null, consumer text not null, day integer not null, calls integer not null, units integer not null,
    charged_wei text not null, uncollected_wei text not null,
    primary key (api, consumer, day)
) without rowid;

create table batches (
    api text not null, sequence integer not null, created_ms integer not null, lines text not null,
    records integer not null, root text not null,
    primary key (api, sequence)
) without rowid;

-- What a batch's root is made of, in the pieces that it was cut in, each after so many others.
create table leaves (
    api text not null, sequence integer not null, before integer not null, leaves blob not null,
    primary key (api, sequence, before)
);

-- Where settlement stands, see settlement/rules.py: leases, credit that is on the chain, batches on their way.
create table settlement (key text primary key, document text not null) without rowid;

create table fired (alert text primary key, expires_ms integer not null) without rowid;
"""
