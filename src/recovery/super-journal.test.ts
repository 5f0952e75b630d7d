import fs from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { Rig } from '../../test/harness/in-process/rig.ts'
import { JOURNAL_MAGIC } from '../sqlite/journal.ts'
import { nodeFiles } from '../util/files.ts'
import { planDirectory, recoverDirectory } from './directory.ts'
import { findSuperJournal } from './super-journal.ts'

const SUPER = '-mjA1B2C3901'
const SELF = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }

let temporary: { dir: string } & Disposable
let at: (path: string) => string

beforeEach(() => {
  temporary = temporaryDirectory()
  at = (path) => `${temporary.dir}/${path}`
  for (const dir of ['data', 'mnt', 'plain']) fs.mkdirSync(at(dir))
})

afterEach(() => temporary[Symbol.dispose]())

/** What a journal ends with that names a super-journal (pager.c, writeSuperJournal). */
function trailer(name: string): Buffer {
  const text = Buffer.from(name)
  const sum = text.reduce((total, byte) => (total + ((byte << 24) >> 24)) >>> 0, 0)
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(text.length, 0)
  numbers.writeUInt32BE(sum, 4)
  return Buffer.concat([Buffer.from([0, 0x10, 0, 1]), text, numbers, Buffer.from(JOURNAL_MAGIC)])
}

/**
 * A data directory as a crash leaves it just before the journal of b.db ends, which names this super-journal. Returns
 * its position.
 */
function leaveUndecided(name: string): string {
  using rig = new Rig()
  const connection = rig.open('delete', 30, 'b.db')
  rig.node.mount.before = ({ kind, path }) => {
    if (kind !== 'unlink' || !path.endsWith('-journal')) return
    fs.cpSync(rig.dir, at('data'), { recursive: true, force: true })
  }
  connection.exec("UPDATE t SET b = 'undecided'")
  rig.node.mount.before = () => {}
  fs.appendFileSync(at('data/files/b.db-journal'), trailer(name))
  return at('data')
}

const undecidedRows = (dataDir: string) => {
  using again = new Rig({}, dataDir)
  return again.engine.open('b.db').value("SELECT count(*) FROM t WHERE b = 'undecided'")
}

function recover(dataDir: string) {
  const lines: string[] = []
  const [result] = recoverDirectory(
    dataDir,
    ['b.db'],
    1 << 20,
    (_level, message, fields) => {
      lines.push(`${message} ${String(fields['advice'] ?? '')}`)
    },
    undefined,
    undefined,
    at('mnt'),
  )
  return { rejection: result?.rejection, lines }
}

test('a super-journal in a plain directory that still exists: rolled back, as SQLite rolls the other half back', () => {
  const name = `${at('plain/main.db')}${SUPER}`
  const dataDir = leaveUndecided(name)
  fs.writeFileSync(at('plain/main.db'), 'main')
  fs.writeFileSync(name, 'names')
  expect(recover(dataDir).rejection).toBeUndefined()
  expect(undecidedRows(dataDir)).toBe(0)
})

test('a super-journal that is gone from the plain directory of its main database: committed', () => {
  const dataDir = leaveUndecided(`${at('plain/main.db')}${SUPER}`)
  fs.writeFileSync(at('plain/main.db'), 'main')
  expect(recover(dataDir).rejection).toBeUndefined()
  expect(undecidedRows(dataDir)).toBe(30)
})

test.each([
  ['its directory is missing', 'away/main.db'],
  ['the main database is missing from its directory', 'plain/main.db'],
  ['its directory is a file', 'file/main.db'],
])(
  'a super-journal that nobody can look for (%s): the database waits, and the line says how to decide',
  (_what, path) => {
    fs.writeFileSync(at('file'), '')
    const name = at(path) + SUPER
    const dataDir = leaveUndecided(name)
    const before = fs.readFileSync(`${dataDir}/files/b.db`)
    const { rejection, lines } = recover(dataDir)
    expect(rejection).toContain(`only the super-journal ${name} tells whether it was committed`)
    expect(lines.join('\n')).toContain(
      `create the file ${name} to roll the transaction back, or ${at(path)} to commit it`,
    )
    expect(fs.readFileSync(`${dataDir}/files/b.db`).equals(before)).toBe(true)
    expect(fs.existsSync(`${dataDir}/files/b.db-journal`)).toBe(true)
    expect(planDirectory(dataDir, [])[0]?.advice).toContain('To decide by hand')
    // The other databases are served, and the operator decides.
    fs.rmSync(at('file'))
    fs.mkdirSync(at(path.slice(0, path.indexOf('/'))), { recursive: true })
    fs.writeFileSync(name, '')
    expect(recover(dataDir).rejection).toBeUndefined()
    expect(undecidedRows(dataDir)).toBe(0)
  },
)

test('a node serves its other databases while one waits', () => {
  const dataDir = leaveUndecided(`${at('away/main.db')}${SUPER}`)
  fs.copyFileSync(`${dataDir}/files/b.db`, `${dataDir}/files/c.db`)
  const node = new InProcessNode({ dataDir })
  expect(node.recovered.get('b.db')?.rejection).toMatch(/super-journal/)
  expect(node.recovered.get('c.db')?.rejection).toBeUndefined()
  node.close()
})

test('a super-journal on the mount is looked for in the directory that the name says, whatever link led there', () => {
  const root = at('data/files')
  fs.mkdirSync(`${root}/dir`, { recursive: true })
  fs.mkdirSync(`${root}/other`)
  fs.symlinkSync(at('mnt'), at('link'))
  fs.symlinkSync(temporary.dir, at('up'))
  const find = (name: string, mountDir = at('mnt')) =>
    findSuperJournal({ files: nodeFiles, root, mountDir }, name, SELF)
  const names = ['mnt', 'link', 'up/mnt', 'up/link'].map((dir) => `${at(dir)}/dir/m.db${SUPER}`)
  for (const name of names) expect(find(name), name).toBe('gone')
  // One of the same name in another directory is another one.
  fs.writeFileSync(`${root}/other/m.db${SUPER}`, '')
  for (const name of names) expect(find(name), name).toBe('gone')
  fs.writeFileSync(`${root}/dir/m.db${SUPER}`, '')
  for (const name of names) expect(find(name), name).toBe('present')
  expect(find(`${at('mnt')}/dir/m.db${SUPER}`, at('link'))).toBe('present')
  // Its directory was renamed.
  fs.rmSync(`${root}/other`, { recursive: true })
  fs.renameSync(`${root}/dir`, `${root}/renamed`)
  for (const name of names) expect(find(name), name).toBe('present')
})

test('a mount that the application saw under another path counts if the main database there names the super-journal', () => {
  const root = at('data/files')
  fs.mkdirSync(root, { recursive: true })
  const name = `/container/data/m.db${SUPER}`
  const find = () => findSuperJournal({ files: nodeFiles, root, mountDir: at('mnt') }, name, SELF)
  fs.writeFileSync(`${root}/m.db`, 'main')
  expect(find()).toBe('unreachable')
  fs.writeFileSync(`${root}/m.db-journal`, trailer(name))
  expect(find()).toBe('gone')
  fs.writeFileSync(`${root}/m.db${SUPER}`, '')
  expect(find()).toBe('present')
})

test.runIf(process.geteuid?.() === 0)(
  'nobody learns by a journal of his own which files are where he may not look, by whatever links and dots it says so',
  () => {
    fs.chmodSync(temporary.dir, 0o755)
    for (const name of ['secret', 'secret/in', 'shared', 'data/files']) fs.mkdirSync(at(name), { recursive: true })
    fs.chmodSync(at('secret'), 0o700)
    fs.symlinkSync(at('secret'), at('shared/to-secret'))
    // Leads out again, if what it passes is there.
    fs.symlinkSync(at('secret/in/../../shared'), at('shared/through-secret'))
    fs.symlinkSync(at('secret/in/../../mnt'), at('shared/through-secret-to-mnt'))
    fs.writeFileSync(at(`shared/m.db${SUPER}`), '')
    const place = { files: nodeFiles, root: at('data/files'), mountDir: at('mnt') }
    const nobody = { uid: 65534, gid: 65534 }
    const names = [
      'secret/x.db',
      'secret/in/x.db',
      'shared/to-secret/x.db',
      'shared/../secret/x.db',
      'shared/through-secret/m.db',
      'shared/through-secret-to-mnt/m.db',
    ].map((name) => `${temporary.dir}/${name}${SUPER}`)
    const answers = () => names.map((name) => findSuperJournal(place, name, nobody))
    const without = answers()
    expect(new Set(without)).toEqual(new Set(['unreachable']))
    for (const name of ['x.db', `x.db${SUPER}`]) {
      fs.writeFileSync(at(`secret/${name}`), '')
      fs.writeFileSync(at(`secret/in/${name}`), '')
      expect(answers()).toEqual(without)
    }
    fs.rmSync(at('secret'), { recursive: true })
    fs.mkdirSync(at('secret'), { mode: 0o700 })
    expect(answers()).toEqual(without)
    expect(findSuperJournal(place, `${temporary.dir}/shared/m.db${SUPER}`, nobody)).toBe('present')
    expect(findSuperJournal(place, `shared/m.db${SUPER}`, nobody)).toBe('unreachable')
    fs.chownSync(at('secret'), 65534, 0)
    fs.writeFileSync(at(`secret/x.db`), '')
    expect(findSuperJournal(place, `${temporary.dir}/secret/x.db${SUPER}`, nobody)).toBe('gone')
  },
)
