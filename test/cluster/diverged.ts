import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterMember } from '../harness/cluster.ts'

export interface DivergedReport {
  readonly database: string
  readonly reason: string
  readonly position: string
  readonly lastSharedTXID?: string
  readonly transactions: number
}

/**
 * The part of a database's history on this node that the cluster does not share: reports, and the LTX files beside
 * them.
 */
export function divergedReports(
  member: ClusterMember,
  database: string,
): { report: DivergedReport; files: string[] }[] {
  const dir = join(member.data, 'diverged', database)
  if (!existsSync(dir)) return []
  return readdirSync(dir)
    .map((name) => join(dir, name))
    .map((one) => ({
      report: JSON.parse(readFileSync(join(one, 'report.json'), 'utf8')) as DivergedReport,
      files: readdirSync(one)
        .filter((name) => name.endsWith('.ltx'))
        .map((name) => join(one, name)),
    }))
}

/** The number of transactions of the database under diverged/, over all nodes. */
export function divergedTransactions(members: readonly ClusterMember[], database: string): number {
  const reports = members.flatMap((member) => divergedReports(member, database))
  for (const { report, files } of reports) {
    if (report.transactions !== files.length)
      throw new Error(`a report names ${report.transactions} transactions beside ${files.length} files`)
  }
  return reports.reduce((sum, { files }) => sum + files.length, 0)
}
