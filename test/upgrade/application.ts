/** An application on a mount, in a process of its own, so that a mount that hangs hangs nobody else. */

import { z } from 'zod'
import { HANG_MS } from '../harness/effort.ts'
import { runLimited } from '../harness/limited.ts'
import { programFile } from '../harness/programs.ts'
import type { Contents } from './fixture.ts'

const answer = z.array(z.object({ rows: z.int(), sha256: z.string() }))

/** Runs `sql`, if any, on each database. Returns their contents, in the order of the paths. */
export async function runApplication(paths: readonly string[], sql = ''): Promise<Contents[]> {
  const args = [programFile('upgrade-application'), sql, ...paths]
  const output = await runLimited(HANG_MS, process.execPath, args, { cwd: '/', env: process.env })
  return answer.parse(JSON.parse(output))
}
