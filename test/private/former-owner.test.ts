/**
 * A data directory that another user had, and that was given to root as the message says: he has left links in it, and
 * files that he may open. Nothing outside is touched, nothing is written where he reads, and the message names it.
 */

import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDataDirectory } from '../../src/data/directory.ts'
import { Spool } from '../../src/data/spool.ts'
import { inspectLog } from '../../src/log/open.ts'
import { TestLog } from '../../src/log/testing.ts'
import { nodeFiles } from '../../src/util/files.ts'
import { type Modes, modesOf, PRIVATE } from '../../src/util/private-files.ts'
import { IS_ROOT } from '../conformance/served.ts'

const NOBODY_ID = 65534

let dir: string
let data: string
let victim: string

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-former-owner-')))
  data = join(dir, 'data')
  victim = join(dir, 'victim')
  fs.mkdirSync(join(victim, 'spool'), { recursive: true })
  fs.writeFileSync(join(victim, 'spool', 'file'), 'precious')
  openDataDirectory(data).close()
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

const open = () => openDataDirectory(data).close()
const precious = () => fs.readFileSync(join(victim, 'spool', 'file'), 'utf8')

function link(name: string, uid: number): string {
  const path = join(data, name)
  fs.rmSync(path, { recursive: true, force: true })
  fs.symlinkSync(victim, path)
  fs.lchownSync(path, uid, uid)
  return path
}

const DIRECTORIES = ['files', 'log', 'temporary', 'hydrating', 'restored', 'replacing', 'diverged', 'strays']

describe.each(DIRECTORIES)('a link in the place of %s', (name) => {
  test.runIf(IS_ROOT).each([NOBODY_ID, 0])('of the user %d is an error that names it, and leads nowhere', (uid) => {
    const path = link(name, uid)
    expect(open).toThrow(`${path} is a symbolic link`)
    expect(open).toThrow(/remove the link/)
    expect(fs.readdirSync(victim)).toEqual(['spool'])
    expect(precious()).toBe('precious')
  })
})

test('what arrives is not removed through a link', () => {
  const held = openDataDirectory(data)
  try {
    link('temporary', process.geteuid?.() ?? 0)
    expect(() => new Spool(held.files, `${data}/temporary`)).toThrow(/symbolic link/)
    expect(precious()).toBe('precious')
    fs.unlinkSync(join(data, 'temporary'))
    fs.mkdirSync(join(data, 'temporary'))
    link('temporary/spool', process.geteuid?.() ?? 0)
    expect(new Spool(held.files, `${data}/temporary`)).toBeDefined()
    expect(fs.readdirSync(join(data, 'temporary'))).toEqual([])
    expect(precious()).toBe('precious')
  } finally {
    held.close()
  }
})

describe.runIf(IS_ROOT)('below the data directory', () => {
  const give = (name: string) => fs.lchownSync(join(data, name), NOBODY_ID, NOBODY_ID)
  const make = (name: string, content?: string) => {
    const path = join(data, name)
    if (content === undefined) fs.mkdirSync(path, { recursive: true })
    else fs.writeFileSync(path, content)
    give(name)
  }
  const message = () => {
    try {
      open()
    } catch (error) {
      return (error as Error).message
    }
    return 'opened'
  }

  test.each([
    ['the log of a database', 'log/a.db.ltx'],
    ['a directory of logs', 'log/app'],
    ['a directory for what arrives', 'temporary/spool'],
    ['a directory of what was set aside', 'diverged/a.db'],
  ])('%s that another user owns is not used', (_, name) => {
    make(name)
    const [top] = name.split('/')
    expect(message()).toContain(`${data}/${name} belongs to the user with id ${NOBODY_ID}`)
    expect(message()).toContain(`"chown -R --no-dereference root ${data}/${top}"`)
  })

  test.each(['log/a.db.ltx/0000000000000001.ltxlog', 'log/a.db.ltx/base.json', 'node.json', 'restored/a.db.json'])(
    'the file %s that another user owns is not used',
    (name) => {
      fs.mkdirSync(join(data, name, '..'), { recursive: true })
      make(name, '{}')
      expect(message()).toContain(`${data}/${name} belongs to the user with id ${NOBODY_ID}`)
    },
  )

  test('a link of his in a log is named; one of root’s is that database’s problem alone', () => {
    fs.mkdirSync(join(data, 'log/a.db.ltx'))
    const link = join(data, 'log/a.db.ltx/0000000000000001.ltxlog')
    fs.symlinkSync(join(victim, 'spool/file'), link)
    expect(message()).toBe('opened')
    fs.lchownSync(link, 65534, 65534)
    expect(message()).toContain(`${data}/log/a.db.ltx/0000000000000001.ltxlog is a symbolic link`)
  })

  test('of many that another user owns, ten are named, with one command for all', () => {
    for (let i = 0; i < 30; i++) make(`log/${i}.db.ltx`)
    make('temporary/spool')
    expect(message().match(/\.db\.ltx/g)).toHaveLength(10)
    expect(message()).toContain(`root ${data}/log"`)
  })

  test('files of applications that were set aside, and what they have in files/, keep no node from starting', () => {
    for (const name of ['files/app', 'strays/app']) make(name)
    fs.chownSync(join(data, 'strays'), 0, 0)
    fs.mkdirSync(join(data, 'diverged/a.db/1'), { recursive: true })
    for (const name of ['files/a.db', 'strays/x-a.db-journal', 'diverged/a.db/1/database']) make(name, 'of theirs')
    expect(message()).toBe('opened')
  })
})

describe('nothing is appended to a segment that somebody has open', () => {
  const narrowed = (segment: string, modes: Modes) => {
    const dirOfLog = dirname(segment)
    for (const path of [data, join(data, 'log'), dirOfLog]) fs.chmodSync(path, 0o755)
    fs.chmodSync(segment, 0o644)
    return () => openDataDirectory(data, { modes }).close()
  }
  const given = (segment: string) => {
    const all = [data, join(data, 'log'), dirname(segment), segment]
    for (const path of all) fs.lchownSync(path, NOBODY_ID, NOBODY_ID)
    return () => {
      for (const path of all) fs.lchownSync(path, 0, 0)
      open()
    }
  }

  const cases: [string, (segment: string) => () => void][] = [
    ['mode is narrowed to this user', (segment) => narrowed(segment, PRIVATE)],
    ['mode is narrowed to a group', (segment) => narrowed(segment, modesOf(0o750))],
  ]
  if (IS_ROOT) cases.push(['owner is root now', given])

  test.each(cases)('while it had another mode or owner: its %s', (_, before) => {
    for (const count of [0, 3]) {
      const dirOfLog = join(data, `log/${count}.db.ltx`)
      const log = new TestLog(dirOfLog)
      log.append(count + 1)
      if (count === 0) log.writer.retract()
      log.writer.close()
      const segment = join(dirOfLog, log.segments[0]!)
      const start = before(segment)
      const held = fs.openSync(segment, 'r')
      try {
        const { size } = fs.fstatSync(held)
        start()
        log.reopen()
        log.append(2)
        log.writer.close()
        expect(fs.fstatSync(held).size).toBe(size)
        expect(log.segments).toHaveLength(count === 0 ? 1 : 2)
        expect(fs.statSync(join(dirOfLog, log.segments.at(-1))).nlink).toBe(1)
        expect(inspectLog(nodeFiles, dirOfLog).entries).toHaveLength(count === 0 ? 2 : count + 3)
      } finally {
        fs.closeSync(held)
      }
    }
  })
})

describe.runIf(IS_ROOT)('below a directory of another user, who moves one of root’s into the place', () => {
  const WIDE = { modes: modesOf(0o755) }
  const modeOf = (name: string) => (fs.statSync(join(dir, 'share', name)).mode & 0o777).toString(8)
  const openWide = () => openDataDirectory(join(dir, 'share/data'), WIDE).close()

  beforeEach(() => {
    fs.mkdirSync(join(dir, 'share'))
    fs.chownSync(join(dir, 'share'), NOBODY_ID, NOBODY_ID)
    openWide()
    fs.renameSync(join(dir, 'share/data'), join(dir, 'share/away'))
    fs.mkdirSync(join(dir, 'share/data/log'), { recursive: true, mode: 0o700 })
    for (const name of ['id', 'log/id']) fs.writeFileSync(join(dir, 'share/data', name), 'key', { mode: 0o600 })
  })

  test('data.mode opens none that is no data directory, and nothing is made in it', () => {
    expect(openWide).toThrow(/share\/data has no node\.json, but has id/)
    expect(['data', 'data/id', 'data/log', 'data/log/id'].map(modeOf)).toEqual(['700', '600', '700', '600'])
    expect(fs.readdirSync(join(dir, 'share/data')).sort()).toEqual(['id', 'log'])
  })

  test('data.mode opens no data directory that was closed, and nothing else is closed', () => {
    fs.copyFileSync(join(dir, 'share/away/node.json'), join(dir, 'share/data/node.json'))
    fs.writeFileSync(join(dir, 'share/data/page'), 'page')
    fs.chmodSync(join(dir, 'share/data/page'), 0o666)
    openWide()
    expect(['data', 'data/id', 'data/log', 'data/log/id'].map(modeOf)).toEqual(['700', '600', '700', '600'])
    fs.chmodSync(join(dir, 'share/data'), 0o777)
    openWide()
    expect(['data', 'data/page'].map(modeOf)).toEqual(['755', '666'])
  })
})
