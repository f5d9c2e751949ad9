-- The steps of the ledger (ledger.py) inside Redis: called as EVALSHA sha 0 prefix step arguments…
--
-- A script runs alone, so that a step is atomic; it reads and decides first and writes last. Amounts are decimal strings
-- without leading zeros, added and compared 15 digits at a time: Lua's doubles are exact up to 2^53 only.
--
-- Keys, all under the prefix: a:account  n:starts:counter  r:record  k:claim  u:usage day  g:grant  p:consumer
-- ids, of:consumer (records in the order of their ids)  tier:name (by time)  open (reserved, by expiry)
-- ub:api (settled, in no batch)  b:api (batches)  bl:sequence:api (leaves)  settlement (documents, see redis_settlement.py)

local P = ARGV[1]
local call = redis.call
local MAX = '115792089237316195423570985008687907853269984665640564039457584007913129639935'
local DAY_MS = 86400000

-- Amounts ---------------------------------------------------------------------------------------------------------------

local LIMB, BASE = 15, 1e15

local function limb(number, last)
  if last < 1 then return 0 end
  return tonumber(string.sub(number, math.max(1, last - LIMB + 1), last))
end

local function joined(limbs)
  local parts = {}
  for i = #limbs, 1, -1 do parts[#parts + 1] = string.format('%015.0f', limbs[i]) end
  local text = string.gsub(table.concat(parts), '^0+', '')
  return text == '' and '0' or text
end

local function add(a, b)
  if #a < LIMB and #b < LIMB then return string.format('%.0f', tonumber(a) + tonumber(b)) end
  local limbs, carry = {}, 0
  for at = 0, math.max(#a, #b) - 1, LIMB do
    local sum = limb(a, #a - at) + limb(b, #b - at) + carry
    carry = sum >= BASE and 1 or 0
    limbs[#limbs + 1] = sum - carry * BASE
  end
  limbs[#limbs + 1] = carry
  return joined(limbs)
end

-- Whether a < b.
local function less(a, b)
  if #a ~= #b then return #a < #b end
  for first = 1, #a, LIMB do
    local x, y = tonumber(string.sub(a, first, first + LIMB - 1)), tonumber(string.sub(b, first, first + LIMB - 1))
    if x ~= y then return x < y end
  end
  return false
end

-- a - b; the caller has made sure that it is not negative.
local function subtract(a, b)
  if #a < LIMB and #b < LIMB then return string.format('%.0f', tonumber(a) - tonumber(b)) end
  local limbs, borrow = {}, 0
  for at = 0, #a - 1, LIMB do
    local rest = limb(a, #a - at) - limb(b, #b - at) - borrow
    borrow = rest < 0 and 1 or 0
    limbs[#limbs + 1] = rest + borrow * BASE
  end
  return joined(limbs)
end

-- a - b, or 0 when that is negative.
local function subtract_to_zero(a, b)
  return less(a, b) and '0' or subtract(a, b)
end

-- Rows ------------------------------------------------------------------------------------------------------------------

local function account_of(name)
  local row = call('HMGET', P .. 'a:' .. name, 'g', 'r', 'c', 'b', 'e')
  local account = {key = P .. 'a:' .. name, granted = row[1] or '0', reserved = row[2] or '0', charged = row[3] or '0'}
  account.basis, account.epoch = row[4] or '0', row[5] or '0'
  return account
end

local function free_of(account)
  return subtract(account.granted, add(account.reserved, account.charged))
end

local function balance_of(account)
  return table.concat({account.granted, account.reserved, account.charged, account.basis, account.epoch}, ' ')
end

-- Windows are kept with a request as a flat array: counter, start, end, 'w' (wei) or 'c' (calls), …
local function used(windows, i)
  return call('GET', P .. 'n:' .. windows[i + 1] .. ':' .. windows[i]) or '0'
end

local function counts_of(windows)
  local counts = {}
  for i = 1, #windows, 4 do counts[#counts + 1] = used(windows, i) end
  return table.concat(counts, ' ')
end

-- Adds to the windows in calls and in wei, then takes away; the counts after it. Never below 0: the count of a window that
-- ended days ago may have been pruned meanwhile.
local function recount(windows, calls, wei, calls_off, wei_off)
  for i = 1, #windows, 4 do
    local in_wei = windows[i + 3] == 'w'
    local more, off = in_wei and wei or calls, in_wei and wei_off or calls_off
    if more ~= off then
      local name = windows[i + 1] .. ':' .. windows[i]
      local was = call('GET', P .. 'n:' .. name)
      if not was then call('ZADD', P .. 'count-ends', windows[i + 2], name) end
      call('SET', P .. 'n:' .. name, subtract_to_zero(add(was or '0', more), off))
    end
  end
  return counts_of(windows)
end

local function claim_key(consumer, key)
  return P .. 'k:' .. #consumer .. ':' .. consumer .. ':' .. key
end

local function profile_of(consumer)
  local row = call('HMGET', P .. 'p:' .. consumer, 'v', 'd', 't', 'q', 'b')
  if not row[1] then return {} end
  local tiers_version = call('HGET', P .. 'state', 'tiers_version') or '0'
  local version = tonumber(row[1]) < tonumber(tiers_version) and tiers_version or row[1]
  return {version, row[2], row[4], row[5], call('HGET', P .. 'tiers', row[3])}
end

local function new_version()
  return call('HINCRBY', P .. 'state', 'version', 1)
end

local function index_record(id, consumer, tier, at_ms)
  call('ZADD', P .. 'ids', 0, id)
  call('ZADD', P .. 'of:' .. consumer, 0, id)
  call('ZADD', P .. 'tier:' .. tier, at_ms, id)
  call('SADD', P .. 'tiers-used', tier)
end

local function record_of(id)
  local row = call('HMGET', P .. 'r:' .. id, 's', 'a', 'c', 'p', 't', 'u', 'e', 'w', 'k', 'y', 'g', 'l', 'z', 'x', 'f')
  if not row[1] then return nil end
  return {
    id = id, state = row[1], account = row[2], consumer = row[3], api = row[4], at_ms = row[5], units = row[6],
    estimate = row[7], windows = row[8] and cmsgpack.unpack(row[8]) or {}, claim = row[9], claim_expires = row[10],
    charged = row[11] or '0', uncollected = row[12] or '0', late = row[13] or '0', expires = row[14],
    fingerprint = row[15],
  }
end

-- Keeps the response of a request that claimed a key, or gives the key free, unless a later request claimed it.
local function keep_response(record, response)
  if not record.claim then return end
  local key = claim_key(record.consumer, record.claim)
  local owner = call('HGET', key, 'i')
  if owner and owner ~= record.id then return end
  if response then
    -- Also when it had expired and nobody took the key: it was served after all.
    if not owner then call('HSET', key, 'f', record.fingerprint, 'i', record.id) end
    call('HSET', key, 'x', record.claim_expires, 's', response)
    call('ZADD', P .. 'claim-ends', record.claim_expires, key)
  else
    call('DEL', key)
  end
end

-- An outcome is three arguments: the numbers and texts as JSON, and the bodies, each with a sign before it when there is one.
local function end_record(record, state, now, outcome, first)
  call('HSET', P .. 'r:' .. record.id, 's', state, 'd', now, 'j', outcome[first])
  if outcome[first + 1] ~= '' then call('HSET', P .. 'r:' .. record.id, 'rq', outcome[first + 1]) end
  if outcome[first + 2] ~= '' then call('HSET', P .. 'r:' .. record.id, 'rs', outcome[first + 2]) end
  call('ZREM', P .. 'open', record.id)
end

local function undo(record, state, now, outcome, first)
  local account = account_of(record.account)
  account.reserved = subtract(account.reserved, record.estimate)
  call('HSET', account.key, 'r', account.reserved)
  recount(record.windows, '0', '0', '1', record.estimate)
  end_record(record, state, now, outcome, first)
  keep_response(record, nil)
  return account
end

-- Adds a settled request to the sums of its day, and to what waits for a batch.
local function count_usage(record, units, charged, uncollected)
  call('ZADD', P .. 'ub:' .. record.api, 0, record.id)
  local day = string.format('%d', math.floor(tonumber(record.at_ms) / DAY_MS))
  local usage = #record.api .. ':' .. record.api .. #record.consumer .. ':' .. record.consumer .. day
  local sums = call('HMGET', P .. 'u:' .. usage, 'g', 'l')
  if call('HINCRBY', P .. 'u:' .. usage, 'n', 1) == 1 then
    call('SADD', P .. 'usage', usage)
    call('SADD', P .. 'uc:' .. record.consumer, usage)
  end
  call('HINCRBY', P .. 'u:' .. usage, 'u', units)
  call('HSET', P .. 'u:' .. usage, 'g', add(sums[1] or '0', charged), 'l', add(sums[2] or '0', uncollected))
end

-- Steps -----------------------------------------------------------------------------------------------------------------

local steps = {}

-- Whether a claim stands in the way; then what to answer.
local function claimed(key, fingerprint, now)
  local row = call('HMGET', key, 'f', 'i', 'x', 's')
  if not row[1] or tonumber(row[3]) <= now then return nil end
  if not row[4] then
    -- Held by a request being served, for as long as its reservation is: a process that died lets go of it.
    local holder = call('HMGET', P .. 'r:' .. row[2], 's', 'x')
    if holder[1] ~= 'reserved' or tonumber(holder[2]) <= now then return nil end
  end
  if row[1] ~= fingerprint then return {'mismatch', row[2]} end
  if not row[4] then return {'in_progress', row[2]} end
  return {'replay', row[2], row[4]}
end

-- id now expires account api consumer estimate units version has_claim claim fingerprint claim_expires tier method route
-- request_id, then for each check: counter start end unit limit
function steps.reserve(a)
  local id, now, expires, name, api, consumer, estimate, units = unpack(a, 1, 8)
  local known = record_of(id)
  if known then
    local balance = balance_of(account_of(known.account))
    if known.state ~= 'reserved' then return {'refused', balance, 'reservation_ended', '', ''} end
    return {'reserved', balance, counts_of(known.windows)}
  end
  local code = ''
  if tonumber(a[9]) >= 0 then
    local row = call('HMGET', P .. 'p:' .. consumer, 'v', 'd')
    local tiers_version = tonumber(call('HGET', P .. 'state', 'tiers_version') or '0')
    if not row[1] or math.max(tonumber(row[1]), tiers_version) ~= tonumber(a[9]) then
      return {'stale', profile_of(consumer)}
    end
    if row[2] == '1' then code = 'disabled' end
  end
  local claim = a[10] == '1' and claim_key(consumer, a[11])
  if claim then
    local answer = claimed(claim, a[12], tonumber(now))
    if answer then return answer end
  end
  local account = account_of(name)
  local windows, violated = {}, {}
  for i = 18, #a, 5 do
    for j = 0, 3 do windows[#windows + 1] = a[i + j] end
    local step = a[i + 3] == 'w' and estimate or '1'
    if a[i + 4] ~= '' and less(a[i + 4], add(used(windows, #windows - 3), step)) then
      violated[#violated + 1] = #windows / 4 - 1
    end
  end
  if code == '' and #violated > 0 then code = 'window' end
  if code == '' and less(free_of(account), estimate) then code = 'insufficient_credit' end
  if code ~= '' then
    return {'refused', balance_of(account), code, table.concat(violated, ' '), counts_of(windows)}
  end
  account.reserved = add(account.reserved, estimate)
  call('HSET', account.key, 'r', account.reserved)
  local counts = recount(windows, '1', estimate, '0', '0')
  call('HSET', P .. 'r:' .. id, 's', 'reserved', 't', now, 'x', expires, 'a', name, 'p', api, 'c', consumer,
    'e', estimate, 'u', units, 'i', a[14], 'm', a[15], 'o', a[16], 'q', a[17], 'w', cmsgpack.pack(windows))
  index_record(id, consumer, a[14], now)
  call('ZADD', P .. 'open', expires, id)
  if claim then
    call('HSET', P .. 'r:' .. id, 'k', a[11], 'y', a[13], 'f', a[12])
    call('DEL', claim)
    call('ZREM', P .. 'claim-ends', claim)
    call('HSET', claim, 'f', a[12], 'i', id, 'x', a[13])
  end
  return {'reserved', balance_of(account), counts}
end

-- id account now actual units(or nothing) outcome(3) response(or nothing)
function steps.settle(a)
  local record = record_of(a[1])
  if not record or record.account ~= a[2] then return {'not_reserved', 'unknown'} end
  local account = account_of(record.account)
  if record.state == 'settled' or record.state == 'redeemed' then
    return {'repeated', balance_of(account), record.charged, record.uncollected, record.late}
  end
  if record.state ~= 'reserved' and record.state ~= 'expired' then return {'not_reserved', record.state} end
  local late = record.state == 'expired'
  local held = late and '0' or record.estimate
  local actual, state = a[4], 'settled'
  if record.claim then
    local owner = call('HGET', claim_key(record.consumer, record.claim), 'i')
    -- A later request took over the key: that one is charged, not this.
    if owner and owner ~= record.id then actual = '0' end
    -- The contract has billed the call of a receipt.
    if string.sub(record.claim, 1, 8) == 'receipt\n' then actual, state = '0', 'redeemed' end
  end
  local most = add(held, free_of(account))
  local charged = less(most, actual) and most or actual
  local uncollected = subtract(actual, charged)
  local units = a[5] == '' and record.units or a[5]
  account.reserved = subtract(account.reserved, held)
  account.charged = add(account.charged, charged)
  call('HSET', account.key, 'r', account.reserved, 'c', account.charged)
  local counts = recount(record.windows, late and '1' or '0', charged, '0', held)
  call('HSET', P .. 'r:' .. record.id, 'g', charged, 'l', uncollected, 'u', units, 'z', late and '1' or '0')
  end_record(record, state, a[3], a, 6)
  if state == 'settled' then count_usage(record, units, charged, uncollected) end
  keep_response(record, a[9])
  local names = {}
  for i = 1, #record.windows, 4 do names[#names + 1] = record.windows[i] end
  return {'settled', balance_of(account), charged, uncollected, late and '1' or '0', counts, names}
end

-- id account now outcome(3)
function steps.release(a)
  local record = record_of(a[1])
  if not record or record.account ~= a[2] then return {'not_reserved', 'unknown'} end
  if record.state == 'reserved' then return {'released', balance_of(undo(record, 'released', a[3], a, 4))} end
  if record.state == 'released' or record.state == 'expired' then
    return {'repeated', balance_of(account_of(record.account))}
  end
  return {'not_reserved', record.state}
end

-- expires id…
function steps.extend(a)
  local extended = 0
  for i = 2, #a do
    local row = call('HMGET', P .. 'r:' .. a[i], 's', 'x')
    if row[1] == 'reserved' and tonumber(row[2]) < tonumber(a[1]) then
      call('HSET', P .. 'r:' .. a[i], 'x', a[1])
      call('ZADD', P .. 'open', a[1], a[i])
      extended = extended + 1
    end
  end
  return extended
end

-- id account add|take amount now note
function steps.grant(a)
  local account = account_of(a[2])
  if call('EXISTS', P .. 'g:' .. a[1]) == 1 then return {'repeated', balance_of(account)} end
  local free = free_of(account)
  if a[3] == 'take' then
    if less(free, a[4]) then return {'refused', balance_of(account)} end
    account.granted, account.basis = subtract(account.granted, a[4]), subtract(free, a[4])
  else
    account.granted, account.basis = add(account.granted, a[4]), add(free, a[4])
    if less(MAX, account.granted) then return {'refused', balance_of(account_of(a[2]))} end
  end
  call('HSET', account.key, 'g', account.granted, 'b', account.basis)
  account.epoch = call('HINCRBY', account.key, 'e', 1)
  call('HSET', P .. 'g:' .. a[1], 'a', a[2], 'w', (a[3] == 'take' and '-' or '') .. a[4], 't', a[5], 'n', a[6])
  return {'granted', balance_of(account)}
end

-- now limit
function steps.sweep(a)
  local overdue = call('ZRANGEBYSCORE', P .. 'open', '-inf', a[1], 'LIMIT', 0, a[2])
  for _, id in ipairs(overdue) do undo(record_of(id), 'expired', a[1], {'', '', ''}, 1) end
  return #overdue
end

-- id at state api consumer account tier method route request_id units estimate ended code outcome(3)
function steps.note(a)
  local key = P .. 'r:' .. a[1]
  if call('EXISTS', key) == 1 then return 0 end
  call('HSET', key, 't', a[2], 's', a[3], 'p', a[4], 'c', a[5], 'a', a[6], 'i', a[7], 'm', a[8], 'o', a[9], 'q', a[10],
    'u', a[11], 'e', a[12], 'v', a[14])
  end_record({id = a[1]}, a[3], a[13], a, 15)
  index_record(a[1], a[5], a[7], a[2])
  return 1
end

-- n:starts:counter…
function steps.counts(a)
  local counts = {}
  for i, name in ipairs(a) do counts[i] = call('GET', P .. name) or '0' end
  return table.concat(counts, ' ')
end

-- Consumers, tiers, keys ------------------------------------------------------------------------------------------------

function steps.profile(a) return profile_of(a[1]) end

-- consumer tier disabled quotas budgets replaces
function steps.put_profile(a)
  if call('HEXISTS', P .. 'tiers', a[2]) == 0 then return 0 end
  if a[6] == '-1' or tonumber(a[6]) == tonumber(profile_of(a[1])[1] or '0') then
    call('HSET', P .. 'p:' .. a[1], 'v', new_version(), 't', a[2], 'd', a[3], 'q', a[4], 'b', a[5])
    call('ZADD', P .. 'consumers', 0, a[1])
  end
  return profile_of(a[1])
end

-- name tier
function steps.put_tier(a)
  call('HSET', P .. 'tiers', a[1], a[2])
  call('HSET', P .. 'state', 'tiers_version', new_version())
  return 1
end

-- id consumer key revoked(or nothing)
function steps.put_key(a)
  if call('EXISTS', P .. 'p:' .. a[2]) == 0 then return 0 end
  call('HSET', P .. 'keys', a[1], a[3])
  call('HSET', P .. 'keys-of', a[1], a[2])
  if a[4] == '' then call('HDEL', P .. 'revoked', a[1]) else call('HSET', P .. 'revoked', a[1], a[4]) end
  call('SADD', P .. 'kc:' .. a[2], a[1])
  return 1
end

function steps.find_key(a)
  local key = call('HGET', P .. 'keys', a[1])
  if not key then return {} end
  return {key, call('HGET', P .. 'revoked', a[1]) or ''}
end

-- id now
function steps.revoke_key(a)
  local consumer = call('HGET', P .. 'keys-of', a[1])
  if not consumer or call('HSETNX', P .. 'revoked', a[1], a[2]) == 0 then return 0 end
  call('HSET', P .. 'p:' .. consumer, 'v', new_version())
  return 1
end

-- Batches, pruning ------------------------------------------------------------------------------------------------------

-- number of documents, then for each: key, what was read, what to write (or nothing); number of batches, then for each: api
-- sequence document; usage that a batch takes in: api sequence, place of its leaves, leaves, number of ids, ids; then for
-- each account: name, what was granted, what to grant. Nothing is done, and 0 answered, when a document, the last batch or
-- what is granted is another by now; else the balances of the accounts.
function steps.books(a)
  local documents, accounts = tonumber(a[1]) * 3 + 1, {}
  for i = 2, documents, 3 do
    if (call('HGET', P .. 'settlement', a[i]) or '') ~= a[i + 1] then return 0 end
  end
  local batches = documents + 1 + tonumber(a[documents + 1]) * 3
  local more = 1
  for i = documents + 2, batches, 3 do
    if call('HLEN', P .. 'b:' .. a[i]) + more ~= tonumber(a[i + 1]) then return 0 end
    more = more + 1
  end
  local api, sequence, usage = a[batches + 1], a[batches + 2], batches + 5 + tonumber(a[batches + 5])
  -- The open batch is the one after the last that has ended.
  if usage > batches + 5 and call('HLEN', P .. 'b:' .. api) + 1 ~= tonumber(sequence) then return 0 end
  for i = usage + 1, #a, 3 do
    local account = account_of(a[i])
    if account.granted ~= a[i + 1] then return 0 end
    accounts[#accounts + 1] = account
    account.target = a[i + 2]
  end
  for i = 2, documents, 3 do
    if a[i + 2] ~= '' then call('HSET', P .. 'settlement', a[i], a[i + 2]) end
  end
  for i = documents + 2, batches, 3 do
    call('HSET', P .. 'b:' .. a[i], a[i + 1], a[i + 2])
  end
  for i = batches + 6, usage do
    -- One that was pruned since it was read is in the batch all the same.
    if call('ZREM', P .. 'ub:' .. api, a[i]) == 1 then call('HSET', P .. 'r:' .. a[i], 'b', sequence) end
  end
  if usage > batches + 5 then call('SETRANGE', P .. 'bl:' .. sequence .. ':' .. api, a[batches + 3], a[batches + 4]) end
  for i, account in ipairs(accounts) do
    local committed = add(account.reserved, account.charged)
    local granted = less(account.target, committed) and committed or account.target
    if granted ~= account.granted then
      account.granted, account.basis = granted, subtract(granted, committed)
      call('HSET', account.key, 'g', granted, 'b', account.basis)
      account.epoch = call('HINCRBY', account.key, 'e', 1)
    end
    accounts[i] = balance_of(account)
  end
  return accounts
end

-- tier until_ms keep_unbatched limit skip: looks at 500 records from the skip-th on; deleted, kept, whether one more could
-- have been deleted, how many were looked at
function steps.prune(a)
  local ids = call('ZRANGEBYSCORE', P .. 'tier:' .. a[1], '-inf', a[2], 'LIMIT', a[5], 500)
  local deleted, kept, limit = 0, 0, tonumber(a[4])
  for _, id in ipairs(ids) do
    local row = call('HMGET', P .. 'r:' .. id, 's', 'b', 'c', 'p')
    if row[1] == 'reserved' or (a[3] == '1' and row[1] == 'settled' and not row[2]) then
      kept = kept + 1
    elseif deleted == limit then
      return {deleted, kept, 1, #ids}
    else
      call('DEL', P .. 'r:' .. id)
      call('ZREM', P .. 'ids', id)
      call('ZREM', P .. 'of:' .. row[3], id)
      call('ZREM', P .. 'ub:' .. row[4], id)
      call('ZREM', P .. 'tier:' .. a[1], id)
      deleted = deleted + 1
    end
  end
  if #ids == 0 and call('EXISTS', P .. 'tier:' .. a[1]) == 0 then call('SREM', P .. 'tiers-used', a[1]) end
  return {deleted, kept, 0, #ids}
end

-- now counts_until: at most 500 counts and 500 responses; how many of each
function steps.prune_rest(a)
  local counts = call('ZRANGEBYSCORE', P .. 'count-ends', '-inf', a[2], 'LIMIT', 0, 500)
  for _, name in ipairs(counts) do
    call('DEL', P .. 'n:' .. name)
    call('ZREM', P .. 'count-ends', name)
  end
  local responses = call('ZRANGEBYSCORE', P .. 'claim-ends', '-inf', a[1], 'LIMIT', 0, 500)
  for _, key in ipairs(responses) do
    call('DEL', key)
    call('ZREM', P .. 'claim-ends', key)
  end
  call('ZREMRANGEBYSCORE', P .. 'fired', '-inf', a[1])
  return {#counts, #responses}
end

local arguments = {}
for i = 3, #ARGV do arguments[i - 2] = ARGV[i] end
return steps[ARGV[2]](arguments)
