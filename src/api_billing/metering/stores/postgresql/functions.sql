-- The steps of the ledger (ledger.py) as functions: each is one statement for the client and one atomic step.
--
-- What keeps concurrent steps apart: an account's row is locked before anything of the account is read, and every change
-- of a reservation's state happens under that lock. Before the first step of a transaction meter_lock takes the advisory
-- locks of all accounts, consumers and counters of its steps in one order, so that two processes never wait for each
-- other; claims and counts that have no row yet are protected by these locks alone.

create function meter_lock(p_stripes int[], p_ids text[]) returns void language plpgsql as $$
declare
    v_class constant int := 1835365490;
    v_stripes int[];
    v_stripe int;
begin
    select array_agg(stripe order by stripe) into v_stripes from (
        select unnest(p_stripes) as stripe
        union select unnest(stripes) from meter_records where record_id = any (p_ids)
    ) wanted;
    -- A large batch would fill the server's lock table: it excludes all others instead.
    if cardinality(v_stripes) > 256 then
        perform pg_advisory_xact_lock(v_class, -1);
        return;
    end if;
    perform pg_advisory_xact_lock_shared(v_class, -1);
    foreach v_stripe in array coalesce(v_stripes, '{}') loop
        perform pg_advisory_xact_lock(v_class, v_stripe);
    end loop;
end $$;

create function meter_balance(a meter_accounts) returns text language plpgsql immutable as $$
begin
    if a.account is null then
        return '0 0 0 0 0';
    end if;
    return concat_ws(' ', a.granted, a.reserved, a.charged, a.basis, a.epoch);
end $$;

create function meter_used(p_counters text[], p_starts bigint[]) returns text language plpgsql stable as $$
declare
    v_used numeric;
    v_counts numeric[] := '{}';
begin
    for i in 1 .. coalesce(cardinality(p_counters), 0) loop
        select used into v_used from meter_counts where counter = meter_key(p_counters[i]) and starts_ms = p_starts[i];
        v_counts := v_counts || coalesce(v_used, 0);
    end loop;
    return array_to_string(v_counts, ' ');
end $$;

-- Counts so many calls and wei more in the windows of a request; the counts after it.
create function meter_recount(
    p_counters text[], p_starts bigint[], p_ends bigint[], p_in_wei boolean[], p_calls numeric, p_wei numeric
) returns text language plpgsql as $$
declare
    v_step numeric;
    v_used numeric;
    v_counts numeric[] := '{}';
begin
    for i in 1 .. coalesce(cardinality(p_counters), 0) loop
        v_step := case when p_in_wei[i] then p_wei else p_calls end;
        if v_step = 0 then
            select used into v_used from meter_counts
            where counter = meter_key(p_counters[i]) and starts_ms = p_starts[i];
        else
            -- Never below 0: the count of a window that ended days ago may have been pruned meanwhile.
            insert into meter_counts as c (counter, starts_ms, ends_ms, used)
            values (meter_key(p_counters[i]), p_starts[i], p_ends[i], greatest(v_step, 0))
            on conflict (counter, starts_ms) do update set used = greatest(c.used + v_step, 0)
            returning c.used into v_used;
        end if;
        v_counts := v_counts || coalesce(v_used, 0);
    end loop;
    return array_to_string(v_counts, ' ');
end $$;

-- Version, disabled, quotas, budgets and tier of a consumer as a JSON array; null when it is unknown.
create function meter_profile(p_consumer text) returns text language plpgsql stable as $$
declare
    v_profile text;
begin
    select json_build_array(
        greatest(c.version, s.tiers_version), c.disabled, c.quotas, c.budgets, t.name, t.monthly_calls,
        t.retention_days, t.quotas
    )::text
    into v_profile
    from meter_consumers c join meter_tiers t on t.name = c.tier cross join meter_state s
    where c.consumer_key = meter_key(p_consumer);
    return v_profile;
end $$;

create function meter_reserve(
    p_id text, p_now bigint, p_expires bigint, p_account text, p_api text, p_consumer text, p_estimate numeric,
    p_units bigint, p_counters text[], p_starts bigint[], p_ends bigint[], p_in_wei boolean[], p_limits numeric[],
    p_version bigint, p_claim text, p_fingerprint text, p_claim_expires bigint, p_tier text, p_method text, p_route text,
    p_request_id text, p_stripes int[],
    out kind text, out balance text, out counts text, out detail text, out violated text, out status int, out body bytea
) language plpgsql as $$
declare
    a meter_accounts;
    c meter_claims;
    r record;
    v_account text := meter_key(p_account);
    v_used numeric;
    v_counts numeric[] := '{}';
    v_violated int[] := '{}';
    v_code text := '';
begin
    select * into a from meter_accounts where account = v_account for update;
    select m.state, m.account, m.counters, m.starts into r from meter_records m where record_id = p_id;
    if found then
        if r.account <> p_account then
            select * into a from meter_accounts where account = meter_key(r.account);
        end if;
        balance := meter_balance(a);
        if r.state = 'reserved' then
            kind := 'reserved';
            counts := meter_used(r.counters, r.starts);
        else
            kind := 'refused';
            detail := 'reservation_ended';
        end if;
        return;
    end if;
    if p_version >= 0 then
        select g.disabled, greatest(g.version, s.tiers_version) as version into r
        from meter_consumers g cross join meter_state s where g.consumer_key = meter_key(p_consumer);
        if not found or r.version <> p_version then
            kind := 'stale';
            detail := meter_profile(p_consumer);
            return;
        end if;
        if r.disabled then
            v_code := 'disabled';
        end if;
    end if;
    if p_claim is not null then
        select * into c from meter_claims where consumer = meter_key(p_consumer) and claim_key = meter_key(p_claim);
        -- Without a response it is held for as long as its reservation is: a process that died lets go of it.
        if found and c.expires_ms > p_now and (c.status is not null or exists (
            select from meter_records m
            where m.record_id = c.reservation_id and m.state = 'reserved' and m.expires_ms > p_now
        )) then
            detail := c.reservation_id;
            if c.fingerprint <> p_fingerprint then
                kind := 'mismatch';
            elsif c.status is null then
                kind := 'in_progress';
            else
                kind := 'replay';
                status := c.status;
                counts := c.headers;
                body := c.body;
            end if;
            return;
        end if;
    end if;
    for i in 1 .. cardinality(p_counters) loop
        select used into v_used from meter_counts
        where counter = meter_key(p_counters[i]) and starts_ms = p_starts[i] for update;
        v_used := coalesce(v_used, 0);
        v_counts := v_counts || v_used;
        if v_used + (case when p_in_wei[i] then p_estimate else 1 end) > p_limits[i] then
            v_violated := v_violated || (i - 1);
        end if;
    end loop;
    if v_code = '' and cardinality(v_violated) > 0 then
        v_code := 'window';
    end if;
    if v_code = '' and coalesce(a.granted - a.reserved - a.charged, 0) < p_estimate then
        v_code := 'insufficient_credit';
    end if;
    if v_code <> '' then
        kind := 'refused';
        detail := v_code;
        balance := meter_balance(a);
        counts := array_to_string(v_counts, ' ');
        violated := array_to_string(v_violated, ' ');
        return;
    end if;
    if a.account is null then
        insert into meter_accounts (account) values (v_account) on conflict do nothing;
    end if;
    update meter_accounts set reserved = reserved + p_estimate where account = v_account returning * into a;
    counts := meter_recount(p_counters, p_starts, p_ends, p_in_wei, 1, p_estimate);
    insert into meter_records (
        record_id, at_ms, state, api, consumer, account, tier, method, route, request_id, units, estimate, expires_ms,
        counters, starts, ends, in_wei, stripes, claim_key, fingerprint, claim_expires_ms
    ) values (
        p_id, p_now, 'reserved', p_api, p_consumer, p_account, p_tier, p_method, p_route, p_request_id, p_units,
        p_estimate, p_expires, p_counters, p_starts, p_ends, p_in_wei, p_stripes, p_claim, p_fingerprint,
        p_claim_expires
    );
    if p_claim is not null then
        insert into meter_claims (consumer, claim_key, fingerprint, reservation_id, expires_ms)
        values (meter_key(p_consumer), meter_key(p_claim), p_fingerprint, p_id, p_claim_expires)
        on conflict (consumer, claim_key) do update set fingerprint = excluded.fingerprint,
            reservation_id = excluded.reservation_id, expires_ms = excluded.expires_ms, status = null, headers = null,
            body = null;
    end if;
    kind := 'reserved';
    balance := meter_balance(a);
end $$;

create function meter_settle(
    p_id text, p_account text, p_now bigint, p_actual numeric, p_units bigint, p_status int, p_duration bigint,
    p_bytes bigint, p_error text, p_tags text, p_request_body bytea, p_response_body bytea, p_kept_status int,
    p_kept_headers text, p_kept_body bytea,
    out kind text, out balance text, out counters text[], out counts text, out charged text, out uncollected text,
    out late boolean
) language plpgsql as $$
declare
    a meter_accounts;
    r meter_records;
    v_owner text;
    v_held numeric;
    v_actual numeric := p_actual;
    v_charged numeric;
    v_units bigint;
    v_state text := 'settled';
begin
    select * into a from meter_accounts where account = meter_key(p_account) for update;
    select * into r from meter_records where record_id = p_id;
    if not found or r.account <> p_account or r.state not in ('reserved', 'expired', 'settled', 'redeemed') then
        kind := 'not_reserved';
        balance := case when r.account = p_account then r.state else 'unknown' end;
        return;
    end if;
    if r.state in ('settled', 'redeemed') then
        kind := 'repeated';
        balance := meter_balance(a);
        charged := r.charged;
        uncollected := r.uncollected;
        late := r.late;
        return;
    end if;
    late := r.state = 'expired';
    v_held := case when late then 0 else r.estimate end;
    if r.claim_key is not null then
        select reservation_id into v_owner from meter_claims
        where consumer = meter_key(r.consumer) and claim_key = meter_key(r.claim_key);
        if v_owner <> p_id then
            -- A later request took over the key: that one is charged, not this.
            v_actual := 0;
        end if;
        if starts_with(r.claim_key, e'receipt\n') then
            -- The contract has billed it.
            v_state := 'redeemed';
            v_actual := 0;
        end if;
    end if;
    v_charged := least(v_actual, v_held + a.granted - a.reserved - a.charged);
    v_units := coalesce(p_units, r.units);
    update meter_records m set state = v_state, charged = v_charged, uncollected = v_actual - v_charged,
        late = meter_settle.late, units = v_units, ended_ms = p_now, status = p_status, duration_ms = p_duration,
        response_bytes = p_bytes, error = p_error, tags = p_tags, request_body = p_request_body,
        response_body = p_response_body
    where record_id = p_id and state = r.state;
    if not found then
        -- Pruned this very moment.
        kind := 'not_reserved';
        balance := 'unknown';
        return;
    end if;
    update meter_accounts t set reserved = t.reserved - v_held, charged = t.charged + v_charged
    where account = a.account returning * into a;
    counters := r.counters;
    counts := meter_recount(r.counters, r.starts, r.ends, r.in_wei, late::int, v_charged - v_held);
    if v_state = 'settled' then
        insert into meter_usage as u (api_key, consumer_key, day, api, consumer, calls, units, charged, uncollected)
        values (
            meter_key(r.api), meter_key(r.consumer), r.at_ms / 86400000, r.api, r.consumer, 1, v_units, v_charged,
            v_actual - v_charged
        )
        on conflict (api_key, consumer_key, day) do update set calls = u.calls + 1, units = u.units + excluded.units,
            charged = u.charged + excluded.charged, uncollected = u.uncollected + excluded.uncollected;
    end if;
    if r.claim_key is not null and coalesce(v_owner = p_id, true) then
        perform meter_keep(r, p_kept_status, p_kept_headers, p_kept_body);
    end if;
    kind := 'settled';
    balance := meter_balance(a);
    charged := v_charged;
    uncollected := v_actual - v_charged;
end $$;

-- Keeps the response of a request that claimed a key, or gives the key free, unless a later request claimed it.
create function meter_keep(r meter_records, p_status int, p_headers text, p_body bytea) returns void
language plpgsql as $$
begin
    if p_status is null then
        delete from meter_claims where consumer = meter_key(r.consumer) and claim_key = meter_key(r.claim_key)
            and reservation_id = r.record_id;
    else
        -- Also when it had expired and nobody took the key: it was served after all.
        insert into meter_claims as c (
            consumer, claim_key, fingerprint, reservation_id, expires_ms, status, headers, body
        ) values (
            meter_key(r.consumer), meter_key(r.claim_key), r.fingerprint, r.record_id, r.claim_expires_ms, p_status,
            p_headers, p_body
        )
        on conflict (consumer, claim_key) do update set status = excluded.status, headers = excluded.headers,
            body = excluded.body, expires_ms = excluded.expires_ms where c.reservation_id = excluded.reservation_id;
    end if;
end $$;

-- Gives back all that a reservation holds; its account's row is locked.
create function meter_undo(
    r meter_records, p_state text, p_now bigint, p_status int, p_duration bigint, p_bytes bigint, p_error text,
    p_tags text, p_request_body bytea, p_response_body bytea
) returns void language plpgsql as $$
begin
    update meter_accounts set reserved = reserved - r.estimate where account = meter_key(r.account);
    perform meter_recount(r.counters, r.starts, r.ends, r.in_wei, -1, -r.estimate);
    update meter_records set state = p_state, ended_ms = p_now, status = p_status, duration_ms = p_duration,
        response_bytes = p_bytes, error = p_error, tags = p_tags, request_body = p_request_body,
        response_body = p_response_body
    where record_id = r.record_id;
    if r.claim_key is not null then
        perform meter_keep(r, null, null, null);
    end if;
end $$;

create function meter_release(
    p_id text, p_account text, p_now bigint, p_status int, p_duration bigint, p_bytes bigint, p_error text, p_tags text,
    p_request_body bytea, p_response_body bytea, out kind text, out balance text
) language plpgsql as $$
declare
    a meter_accounts;
    r meter_records;
begin
    select * into a from meter_accounts where account = meter_key(p_account) for update;
    select * into r from meter_records where record_id = p_id;
    if not found or r.account <> p_account or r.state in ('settled', 'redeemed', 'refused') then
        kind := 'not_reserved';
        balance := case when r.account = p_account then r.state else 'unknown' end;
        return;
    end if;
    kind := 'repeated';
    if r.state = 'reserved' then
        kind := 'released';
        perform meter_undo(r, 'released', p_now, p_status, p_duration, p_bytes, p_error, p_tags, p_request_body,
            p_response_body);
        select * into a from meter_accounts where account = a.account;
    end if;
    balance := meter_balance(a);
end $$;

create function meter_extend(p_ids text[], p_expires bigint) returns bigint language plpgsql as $$
declare
    v_extended bigint;
begin
    update meter_records set expires_ms = p_expires
    where record_id = any (p_ids) and state = 'reserved' and expires_ms < p_expires;
    get diagnostics v_extended = row_count;
    return v_extended;
end $$;

create function meter_grant(
    p_id text, p_account text, p_amount numeric, p_now bigint, p_note text, out kind text, out balance text
) language plpgsql as $$
declare
    c_max constant numeric := 115792089237316195423570985008687907853269984665640564039457584007913129639935;
    a meter_accounts;
    v_account text := meter_key(p_account);
    v_granted numeric;
    v_free numeric;
begin
    select * into a from meter_accounts where account = v_account for update;
    v_granted := coalesce(a.granted, 0) + p_amount;
    v_free := v_granted - coalesce(a.reserved + a.charged, 0);
    if exists (select from meter_grants where grant_id = meter_key(p_id)) then
        kind := 'repeated';
    elsif v_free < 0 or v_granted > c_max then
        kind := 'refused';
    else
        insert into meter_grants values (meter_key(p_id), p_account, p_amount, p_now, p_note);
        insert into meter_accounts as t (account, granted, basis, epoch) values (v_account, v_granted, v_free, 1)
        on conflict (account) do update set granted = v_granted, basis = v_free, epoch = t.epoch + 1
        returning * into a;
        kind := 'granted';
    end if;
    balance := meter_balance(a);
end $$;

create function meter_sweep(p_now bigint, p_limit bigint) returns bigint language plpgsql as $$
declare
    r meter_records;
    v_ids text[];
    v_id text;
    v_account text;
    v_swept bigint := 0;
begin
    select array_agg(record_id order by expires_ms, record_id) into v_ids from (
        select record_id, expires_ms from meter_records where state = 'reserved' and expires_ms <= p_now
        order by expires_ms, record_id limit p_limit
    ) overdue;
    if v_ids is null then
        return 0;
    end if;
    perform meter_lock('{}', v_ids);
    foreach v_id in array v_ids loop
        select account into v_account from meter_records where record_id = v_id;
        perform from meter_accounts where account = meter_key(v_account) for update;
        -- It may have been settled, extended or swept by somebody else before the locks were had.
        select * into r from meter_records
        where record_id = v_id and state = 'reserved' and expires_ms <= p_now for update;
        if found then
            perform meter_undo(r, 'expired', p_now, 0, 0, 0, '', '', null, null);
            v_swept := v_swept + 1;
        end if;
    end loop;
    return v_swept;
end $$;

create function meter_new_version() returns bigint language plpgsql as $$
declare
    v_version bigint;
begin
    update meter_state set version = version + 1 returning version into v_version;
    return v_version;
end $$;
