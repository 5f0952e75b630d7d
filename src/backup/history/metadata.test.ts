import { describe, expect, it } from 'vitest'
import { type Checksum, toTXID } from '../../ltx/format/types.ts'
import { formatMetadata, formatTimestamp, parseMetadata, parseTimestamp } from './metadata.ts'

describe('metadata of an object', () => {
  it('reads back as it was written', () => {
    const file = {
      timestampMs: 1_784_567_890_123,
      preApplyChecksum: 0x8000000000000000n as Checksum,
      postApplyChecksum: 0xeb1a999231044dddn as Checksum,
      pageSize: 4096,
      commit: 12,
      term: 3n,
      owner: { file: { uid: 65534, gid: 0, mode: 0o640 }, folders: [{ uid: 0, gid: 0, mode: 0o755 }] },
    }
    const metadata = formatMetadata(toTXID(5), toTXID(7), file)
    expect(metadata).toMatchObject({
      'litestream-timestamp': '2026-07-20T17:18:10.123000000Z',
      'ltxd-pre-txid': '0000000000000004',
      'ltxd-post-txid': '0000000000000007',
      'ltxd-owner': '65534:0:640',
      'ltxd-folders': '0:0:755',
    })
    expect(parseMetadata(metadata)).toEqual(file)
  })

  it('omits missing and damaged fields', () => {
    expect(parseMetadata({})).toEqual({})
    const damaged = {
      'litestream-timestamp': 'yesterday',
      'ltxd-post-checksum': '0000000000000001',
      'ltxd-term': '-1',
      'ltxd-commit': '1e3',
      'ltxd-owner': '0:0:0:0',
    }
    expect(parseMetadata(damaged)).toEqual({})
  })

  it('says ids and permissions of an owner, and nothing else, whoever wrote them', () => {
    const owner = (file: string, folders = '') => parseMetadata({ 'ltxd-owner': file, 'ltxd-folders': folders }).owner
    expect(owner('0:0:4755')).toEqual({ file: { uid: 0, gid: 0, mode: 0o755 }, folders: [] })
    expect(owner('1:2:600', '0:0:755,x')).toEqual({ file: { uid: 1, gid: 2, mode: 0o600 }, folders: [] })
    expect(owner('1:2:600', Array(1000).fill('0:0:755').join(','))?.folders).toEqual([])
    for (const wrong of ['4294967295:0:600', '0:-1:600', '0:0:u+s', 'root:root:600'])
      expect(owner(wrong)).toBeUndefined()
  })

  it('reads timestamps as Go writes them', () => {
    expect(parseTimestamp('2026-01-02T03:04:05Z')).toBe(Date.UTC(2026, 0, 2, 3, 4, 5))
    expect(parseTimestamp('2026-01-02T03:04:05.1Z')).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 100))
    expect(parseTimestamp('2026-01-02T03:04:05.123456789Z')).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 123))
    expect(parseTimestamp('2026-01-02T03:04:05+02:00')).toBe(Date.UTC(2026, 0, 2, 1, 4, 5))
    expect(parseTimestamp(formatTimestamp(1))).toBe(1)
    for (const wrong of [undefined, '', '2026-01-02', '2026-01-02T03:04:05', '2026-13-02T03:04:05Z']) {
      expect(parseTimestamp(wrong)).toBeUndefined()
    }
  })
})

it('a time that no date has, as a file may say it, is written so that it can be read', () => {
  for (const ms of [2 ** 53 - 1, -(2 ** 53) + 1, 8.64e15, NaN]) {
    const written = formatTimestamp(ms)
    expect(formatTimestamp(parseTimestamp(written) ?? 0)).toBe(written)
  }
})
