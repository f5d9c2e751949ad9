-- Writes rows if none of those that were read has changed since.
--
-- KEYS: whose turn it is, who may have it next, then the rows that were read, those to be written first. ARGV: who asks, the tokens of all rows
-- as they were read, one after the other (spaces for one that was not there), how many are to be written, the value of each
-- ('' to delete it), then commands: the number of their words, and the words.
--
-- Answers with 0 when it was done, with -1 when it is somebody else's turn, otherwise with the first row that has changed.
local who, tokens, written = ARGV[1], ARGV[2], tonumber(ARGV[3])
local turn = redis.call('GET', KEYS[1])
if turn and turn ~= who then return -1 end
for i = 1, #KEYS - 2 do
  local token = redis.call('GETRANGE', KEYS[i + 2], 0, 15)
  if token == '' then token = '                ' end
  if token ~= string.sub(tokens, i * 16 - 15, i * 16) then return i end
end
for i = 1, written do
  local value = ARGV[i + 3]
  if value == '' then redis.call('DEL', KEYS[i + 2]) else redis.call('SET', KEYS[i + 2], value) end
end
local at = written + 4
while ARGV[at] do
  local last = at + tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
if turn then
  redis.call('DEL', KEYS[1])
  if redis.call('LLEN', KEYS[2]) == 0 then redis.call('RPUSH', KEYS[2], '') end
end
return 0
