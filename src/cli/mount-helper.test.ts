import { expect, test } from 'vitest'
import { fromMountHelper } from './mount-helper.ts'

test('a call by mount.fuse3 becomes "ltxd mount", with the source as data directory or configuration', () => {
  expect(fromMountHelper(['/var/lib/ltxd', '/dev/fd/3', '-o', 'rw,dev,suid'])).toEqual([
    ...['mount', '/dev/fd/3', '--data', '/var/lib/ltxd'],
  ])
  expect(fromMountHelper(['/etc/ltxd.yml', '/dev/fd/4'])).toEqual(['mount', '/dev/fd/4', '--config', '/etc/ltxd.yml'])
  expect(fromMountHelper(['/dev/fd/3', '-o', 'dev'])).toEqual(['mount', '/dev/fd/3'])
})

test('of the mount options, only ltxd’s own are passed on', () => {
  const options = 'allow_other,backup=s3://b/p?region=x,data,http=127.0.0.1:0,fsname=x,config=/etc/ltxd.yml,uid=3'
  expect(fromMountHelper(['/dev/fd/3', '-o', options])).toEqual([
    ...['mount', '/dev/fd/3', '--backup=s3://b/p?region=x', '--http=127.0.0.1:0', '--config=/etc/ltxd.yml'],
  ])
})

test('any other command line stays unchanged', () => {
  for (const args of [
    ['mount', '/dev/fd/3', '--data', '/x'],
    ['mount', '/dev/fd/3'],
    ['restore', 'a.db', '-o', '/dev/fd/3'],
    ['status'],
    [],
  ]) {
    expect(fromMountHelper(args)).toBe(args)
  }
})
