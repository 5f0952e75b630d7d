import type { Redis } from 'ioredis'
import { JOB_OPTIONS, KEY_PREFIX, type QueueName } from './queues.ts'

/** Half of what a reply may have (reply-scanner.ts). No job that ltxd makes has a thousandth of it. */
const MAX_JOB_BYTES = 16 << 20
/** What such a job keeps, each if it is short. */
const FIELDS = ['timestamp', 'delay', 'priority', 'processedOn', 'ats', 'atm', 'stc', 'defa']
const MAX_FIELD_BYTES = 4096
const MAX_ID_BYTES = 1 << 20
/** Jobs that are looked at in one call. */
const MAX_JOBS = 1000
const OPTIONS = { attempts: 1, removeOnFail: JOB_OPTIONS.removeOnFail }

/**
 * A worker that takes a job has it among the active ones before it reads it. Cuts those that no worker can read, and
 * returns them to the queue, as BullMQ does with a job of a worker that stops.
 */
const CUT = `
local active, queue, maxJob, maxField, maxId = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = cjson.decode(ARGV[5])
local cut = 0
for _, id in ipairs(redis.call('lrange', active, 0, tonumber(ARGV[7]) - 1)) do
  local key = queue .. id
  local isHash = redis.call('type', key).ok == 'hash'
  local bytes = #id
  if isHash then
    for _, field in ipairs(redis.call('hkeys', key)) do bytes = bytes + #field + redis.call('hstrlen', key, field) end
  end
  if #id > maxId then
    redis.call('lrem', active, 1, id)
    redis.call('del', key, key .. ':lock')
    cut = cut + 1
  elseif bytes > maxJob then
    local short = {}
    for _, field in ipairs(kept) do
      local length = redis.call('hstrlen', key, field)
      if length > 0 and length <= maxField then short[field] = redis.call('hget', key, field) end
    end
    redis.call('del', key, key .. ':lock')
    redis.call('hset', key, 'name', 'too long', 'data', '{"tooLong":' .. string.format('%d', bytes) .. '}', 'opts', ARGV[6])
    for field, value in pairs(short) do redis.call('hset', key, field, value) end
    redis.call('lrem', active, 1, id)
    redis.call('srem', queue .. 'stalled', id)
    redis.call('rpush', queue .. 'wait', id)
    redis.call('zadd', queue .. 'marker', 0, '0')
    cut = cut + 1
  end
end
return cut`

/** Makes jobs that are too long to be read fail at their next try (payloads.ts). Returns how many there were. */
export async function cutLongJobs(redis: Redis, queue: QueueName): Promise<number> {
  const prefix = `${KEY_PREFIX}:${queue}:`
  const limits = [MAX_JOB_BYTES, MAX_FIELD_BYTES, MAX_ID_BYTES]
  const shape = [JSON.stringify(FIELDS), JSON.stringify(OPTIONS), MAX_JOBS]
  return Number(await redis.eval(CUT, 1, `${prefix}active`, prefix, ...limits, ...shape))
}
