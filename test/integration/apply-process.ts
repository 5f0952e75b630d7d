/**
 * Applies LTX files to a database. Each line on stdin names one file, or several with spaces between that may be
 * applied together. The answer is the position, or `blocked`. The line `checkpoint` checkpoints. Usage:
 * apply-process.ts DATABASE. Exits cleanly at the end of stdin.
 */

import { createInterface } from 'node:readline'
import { Applier } from '../../src/apply/applier.ts'
import { ApplyBlockedError } from '../../src/apply/errors.ts'
import { PositionFile } from '../../src/apply/positions.ts'
import { bytesOfFile } from '../../src/apply/transaction.ts'

const path = process.argv[2] as string
const positions = PositionFile.open(path)
const applier = opened()
console.log(applier.position.txid.toString())
createInterface({ input: process.stdin })
  .on('line', (line) => console.log(answer(line)))
  .on('close', () => {
    applier.close()
    positions.close()
  })

/** A reader may be rolling back what a killed process left. */
function opened(): Applier {
  for (;;) {
    try {
      return Applier.open(path, { positions, checkpointFrames: 40, busyMs: 20 })
    } catch (error) {
      if (!(error instanceof ApplyBlockedError)) throw error
    }
  }
}

function answer(line: string): string {
  try {
    if (line === 'checkpoint') return applier.checkpoint()?.complete === false ? 'held' : 'done'
    const [first, ...rest] = line.split(' ').map(bytesOfFile)
    if (first === undefined) throw new Error('no file is named')
    const { position } = rest.length === 0 ? applier.apply(first) : applier.applyAll([first, ...rest])
    return position.txid.toString()
  } catch (error) {
    if (error instanceof ApplyBlockedError) return 'blocked'
    throw error
  }
}
