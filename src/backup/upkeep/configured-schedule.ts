import type { BackupConfig } from '../../config/config.ts'
import { type BackupSchedule, DEFAULT_SCHEDULE } from '../history/levels.ts'

/** The configured times of a backup's levels, snapshots and retention. */
export function configuredSchedule(config: BackupConfig): BackupSchedule {
  return {
    ...DEFAULT_SCHEDULE,
    syncIntervalMs: config.syncIntervalMs,
    levels: config.levelIntervalsMs.map((intervalMs, i) => ({ level: i + 1, intervalMs })),
    snapshotIntervalMs: config.snapshot.intervalMs,
    retention: { snapshotRetentionMs: config.snapshot.retentionMs, level0RetentionMs: config.level0RetentionMs },
    verifyIntervalMs: config.verify.intervalMs,
  }
}
