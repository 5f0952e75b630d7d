import { expect, test } from 'vitest'
import { UsageError } from '../util/errors.ts'
import { assertNoSecrets } from './secret-arguments.ts'

test.each([
  [['worker', '--redis', 'redis://:hunter2@h:6379'], /^--redis holds .* set LTXD_REDIS_URL/],
  [['worker', '--redis=rediss://app:hunter2@h'], /^--redis holds .* set LTXD_REDIS_URL/],
  [['worker', '--redis', 'redis://h?password=hunter2'], /^--redis holds .* set LTXD_REDIS_URL/],
  [['worker', '--redis', 'redis://:hunter2#@h'], /^--redis holds .* set LTXD_REDIS_URL/],
  [['mount', 'm', '--consul', 'http://:hunter2@h:8500'], /^--consul holds .* set LTXD_CONSUL_URL/],
  [['mount', 'm', '--consul', 'http://h:8500/?token=hunter2'], /^--consul holds .* set LTXD_CONSUL_URL/],
  [['mount', 'm', '--advertise-url', 'http://me:hunter2@h'], /^--advertise-url holds .* peers need no password/],
  [['mount', 'm', '--backup', 's3://me:hunter2@b/p'], /^--backup holds .* AWS_ACCESS_KEY_ID/],
  [['mount', 'm', '--backup=s3://b/p?endpoint=http://me:hunter2@h'], /^--backup holds .* AWS_ACCESS_KEY_ID/],
  [['worker', '--store', 'a=s3://me:hunter2@b/p'], /^--store holds .* AWS_ACCESS_KEY_ID/],
  [['worker', '--store=a=s3://b/p?secretAccessKey=hunter2'], /^--store holds .* AWS_ACCESS_KEY_ID/],
  [['restore', 's3://me:hunter2@b/p', 'a.db', '-o', 'x'], /^a URL holds .* AWS_ACCESS_KEY_ID/],
  [['follow', 'http://me:hunter2@h:20202', 'a.db', '-o', 'x'], /^a URL holds /],
  [['backup', 'list', 's3:AKIA:hunter2@b/p'], /^a URL holds /],
  [['backup', 'list', 's3:/AKIA:hunter2@b/p'], /^a URL holds /],
  [['worker', '--store=a=s3:AKIA:hunter2@b/p'], /^--store holds /],
  [['backup', 'list', 's3://b/user:hunter2@x'], /^a URL holds /],
  [['backup', 'list', 's3://b/p&token=hunter2'], /^a URL holds /],
  [['backup', 'list', 's3://b/p?region=eu;password=hunter2'], /^a URL holds /],
  [['worker', '--redis', 'redis:hunter2@h'], /^--redis holds /],
  [['--nonsense', 's3x://me:hunter2@h:port'], /^--nonsense holds /],
])('%j is rejected, with where the secret goes instead, and is not repeated', (args, message) => {
  const check = () => assertNoSecrets(args)
  expect(check).toThrow(UsageError)
  expect(check).toThrow(message)
  expect(check).not.toThrow(/hunter2/)
})

test.each([
  [
    'worker',
    '--redis',
    'redis://h:6379/1',
    '--store',
    'a=s3://b/p@2?endpoint=http://h:1&region=eu&forcePathStyle=true',
  ],
  ['mount', 'm', '--consul', 'http://[::1]:8500/team', '--hostname', 'me@home'],
  ['restore', 'file:///b', 'a:b@c.db', '-o', 'x@y'],
  ['backup', 'list', 's3://b/a&b=c/d@2', 'file:x'],
  ['backup', 'list', 'file:///a:b@c/d;e&f=g'],
  ['backup', 'list', 's3://b/p?regoin=eu-central-1'],
  ['mount', 'm', '--backup', 'file:///b#x'],
])('%s %s … has no secret', (...args) => {
  expect(() => assertNoSecrets(args)).not.toThrow()
})
