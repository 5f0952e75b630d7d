import { afterEach, describe, expect, test, vi } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { LogWriter } from '../log/writer.ts'
import { Database } from './database.ts'

const MODES = ['wal', 'delete', 'truncate', 'persist']

afterEach(() => {
  vi.restoreAllMocks()
})

/** The error that the application's next commit fails with. */
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
  test('if the log does not end with its transaction', () => {
    using rig = new Rig()
    const failure = failureOfCommit(rig, mode, () => {
      vi.spyOn(LogWriter.prototype, 'append').mockImplementation(function (this: LogWriter) {
        return { position: this.position, finishedBytes: 0 }
      })
    })
    expect(failure).toMatchObject(BROKEN_I1)
  })

  test('if its transaction was not appended to the log', () => {
    using rig = new Rig()
    const failure = failureOfCommit(rig, mode, () => {
      vi.spyOn(Database.prototype, 'commit').mockImplementation(() => undefined)
    })
    expect(failure).toMatchObject(BROKEN_I1)
  })
})
