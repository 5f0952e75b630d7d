import { describe, expect, it } from 'vitest'
import { deviceOf, mountAt, parseMountinfo } from './mountinfo.ts'

const TEXT = `22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw,relatime shared:2 master:1 - devtmpfs devtmpfs rw,size=12334524k
301 27 0:50 / /srv/my\\040data\\011x\\134y rw,nosuid - fuse.ltxd ltxd\\040one rw,user_id=0,allow_other
302 27 0:51 / /srv/stacked rw - tmpfs tmpfs rw
303 302 0:52 / /srv/stacked rw - fuse.ltxd ltxd rw
304 27 0:53 / /srv/datenbänke rw - fuse.other other rw
`

describe('/proc/self/mountinfo', () => {
  const mounts = parseMountinfo(TEXT)

  it('is read with and without optional fields', () => {
    expect(mounts.map(({ type }) => type)).toEqual([
      'proc',
      'devtmpfs',
      'fuse.ltxd',
      'tmpfs',
      'fuse.ltxd',
      'fuse.other',
    ])
    expect(mounts[1]).toMatchObject({ mountPoint: '/dev', source: 'devtmpfs' })
  })

  it('has octal escapes for blanks and backslashes', () => {
    expect(mountAt('/srv/my data\tx\\y', mounts)).toMatchObject({ type: 'fuse.ltxd', source: 'ltxd one' })
    expect(mountAt('/srv/datenbänke', mounts)?.type).toBe('fuse.other')
  })

  it('finds the topmost mount, and none at a directory that is not a mount point', () => {
    expect(mountAt('/srv/stacked', mounts)).toMatchObject({ type: 'fuse.ltxd', device: '0:52' })
    expect(mountAt('/srv', mounts)).toBeUndefined()
  })

  it('is read past lines in an unknown format', () => {
    expect(parseMountinfo('garbage\n\n1 2 3\n22 27 0:21 / /proc rw - proc proc rw')).toHaveLength(1)
  })

  it('has the device of a file system as its files do', () => {
    for (const place of ['/proc', '/dev']) expect(deviceOf(place)).toBe(mountAt(place)?.device)
  })
})
