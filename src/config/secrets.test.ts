import { expect, test } from 'vitest'
import { parseConfig } from './load.ts'

test.each([
  'redis: { url: "redis://app:12/hunter2@queues" }',
  'backup: { url: "s3://me:hunter2@/x" }',
  'backup: { url: "file:///x?token=hunter2" }',
  'backup: { url: "file:///x?hunter2" }',
  'backup: { url: "s3:AKIA:hunter2@b/p" }',
  'redis: { url: "redis://h/;password=hunter2" }',
  'lease: { advertise-url: "http://me:hunter2@h:port" }',
  'lease: { consul: { url: "http://:hunter2@h:port" } }',
])('no message repeats a part of the password in %s', (text) => {
  const parse = () => parseConfig({ name: 'ltxd.yml', text })
  expect(parse).toThrow(/^ltxd\.yml:1: /)
  expect(parse).not.toThrow(/hunter2/)
})
