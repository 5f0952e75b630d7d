import type { BackupFile } from '../../../backup/history/history.ts'
import { loadHistories, requireHistory } from '../../../backup/history/history.ts'
import type { FileRef } from '../../../backup/history/layout.ts'
import type { RetentionPolicy } from '../../../backup/history/levels.ts'
import { backupPosition } from '../../../backup/history/position.ts'
import { compactLevel } from '../../../backup/upkeep/compaction.ts'
import { prune, snapshotOnce } from '../../../backup/upkeep/upkeep.ts'
import { formatTXID } from '../../../ltx/format/types.ts'
import type { ObjectStore } from '../../../objectstore/objectstore.ts'
import { openObjectStore } from '../../../objectstore/stores/open.ts'
import { formatSize } from '../../../util/units.ts'
import { interruptible } from '../../output/interruption.ts'
import { printJson, printLine, printNote, printTable } from '../../output/output.ts'
import { ProgressBar } from '../../output/progress-bar.ts'

/** Compacts the levels `from` to `to`, and prints the files that it wrote. */
export async function compact(
  url: string,
  database: string,
  levels: { readonly from: number; readonly to: number },
  json: boolean,
): Promise<void> {
  await withProgress(url, database, async (store, options) => {
    const written: FileRef[] = []
    const onSkipped = (problem: string) =>
      printNote(`${database}: skipped files that do not continue each other: ${problem}`)
    for (let level = levels.from; level <= levels.to; level++) {
      written.push(...(await compactLevel(store, database, level, { ...options, onSkipped })))
    }
    return () => {
      const files = written.map(describe)
      if (json) printJson({ url: store.url, database, written: files })
      else if (files.length === 0) printLine(`${database}: every level is up to date`)
      else for (const { level, min, max } of files) printLine(`${database}: level ${level}: ${min} to ${max}`)
    }
  })
}

export async function snapshot(url: string, database: string, json: boolean): Promise<void> {
  await withProgress(url, database, async (store, options) => {
    const result = await snapshotOnce(store, database, options)
    return () => {
      const { outcome } = result
      if (json) {
        const file = result.outcome === 'made' ? describe(result.file) : null
        printJson({ url: store.url, database, outcome, file })
      } else if (result.outcome === 'made') {
        printLine(`${database}: snapshot as of transaction ${formatTXID(result.file.max)}`)
      } else if (outcome === 'current') {
        printLine(`${database}: nothing to do: a snapshot of the newest state exists`)
      } else {
        printLine(`${database}: nothing to do: the database was dropped`)
      }
    }
  })
}

/** Applies retention to one database, or to all databases of a backup. */
export async function pruneBackup(
  url: string,
  database: string | undefined,
  policy: RetentionPolicy,
  { dryRun, json }: { readonly dryRun: boolean; readonly json: boolean },
): Promise<void> {
  const store = openObjectStore(url)
  const bar = new ProgressBar((done, total) => `${done} of ${total} databases`)
  try {
    if (database !== undefined) await requireHistory(store, database)
    const names = database === undefined ? [...(await loadHistories(store)).keys()] : [database]
    const plans = await interruptible(async (signal) => {
      const done = []
      for (const name of names) {
        done.push({ name, ...(await prune(store, name, policy, Date.now(), { dryRun, signal })) })
        bar.update(done.length, names.length)
      }
      return done
    })
    bar.stop()
    if (json) {
      const databases = plans.map(({ name, files, markers }) => {
        return { database: name, files: files.map(describeFile), markers: markers.map(({ key }) => key) }
      })
      printJson({ url: store.url, dryRun, databases })
    } else if (dryRun) {
      printTable(
        [
          { title: 'DATABASE' },
          { title: 'LEVEL', align: 'right' },
          { title: 'SIZE', align: 'right' },
          { title: 'OBJECT' },
        ],
        plans.flatMap(({ name, files, markers }) => [
          ...files.map((file) => [name, String(file.level), formatSize(file.sizeBytes), file.key]),
          ...markers.map(({ key }) => [name, '-', '-', key]),
        ]),
      )
    } else {
      for (const line of plans.length === 0 ? [`${store.url} contains no databases`] : plans.map(sumUp)) printLine(line)
    }
  } finally {
    bar.stop()
    await store.close()
  }
}

/** Runs `work` on one database with a progress bar, then calls the function that it returned to print the result. */
async function withProgress(
  url: string,
  database: string,
  work: (
    store: ObjectStore,
    options: { readonly signal: AbortSignal; readonly progress: (pages: number) => void },
  ) => Promise<() => void>,
): Promise<void> {
  const store = openObjectStore(url, { changed: printNote })
  const bar = new ProgressBar((done, total) => `${done} of at most ${total} pages`)
  try {
    const { commit } = await backupPosition(store, await requireHistory(store, database))
    const progress = (pages: number) => bar.update(Math.min(pages, commit), commit)
    const print = await interruptible((signal) => work(store, { signal, progress }))
    bar.stop()
    print()
  } finally {
    bar.stop()
    await store.close()
  }
}

function describe({ level, min, max }: FileRef) {
  return { level, min: formatTXID(min), max: formatTXID(max) }
}

function describeFile(file: BackupFile) {
  return { ...describe(file), key: file.key, sizeBytes: file.sizeBytes }
}

function sumUp(plan: { readonly name: string; readonly files: readonly BackupFile[] }): string {
  const sizeBytes = plan.files.reduce((sum, file) => sum + file.sizeBytes, 0)
  return `${plan.name}: deleted ${plan.files.length} files, ${formatSize(sizeBytes)}\n`
}
