import { afterEach, describe, expect, test, vi } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { LogWriter } from '../log/writer.ts'
import { Database } from './database.ts'

const MODES = ['wal', 'delete', 'truncate', 'persist']

afterEach(() => {
  vi.restoreAllMocks()
})

/** What the file system failed with at the application's next commit. */
function failureOfCommit(rig: Rig, mode: string, breakIt: () => void): unknown {
  const connection = rig.open(mode)
  breakIt()
  try {
    connection.exec(insert(11, 30))
  } catch (error) {
    return (error as Error).cause
  }
  throw new Error('the commit was acknowledged')
}

const BROKEN_I1 = { code: 'ERR_ASSERTION', message: expect.stringContaining('I1') as string }

describe.each(MODES)('I1: in mode %s no commit is acknowledged', (mode) => {
  test('that the log took without ending with it', () => {
    using rig = new Rig()
    const failure = failureOfCommit(rig, mode, () => {
      vi.spyOn(LogWriter.prototype, 'append').mockImplementation(function (this: LogWriter) {
        return { position: this.position, finishedBytes: 0 }
      })
    })
    expect(failure).toMatchObject(BROKEN_I1)
  })

  test('that was never given to the log', () => {
    using rig = new Rig()
    const failure = failureOfCommit(rig, mode, () => {
      vi.spyOn(Database.prototype, 'commit').mockImplementation(() => undefined)
    })
    expect(failure).toMatchObject(BROKEN_I1)
  })
})
