import { Plot } from './plot.ts'
import { perform } from './stage.ts'

/**
 * `npm run demo [-- --keep]`: an exchange trades on an ltxd mount, its machine is lost, and a new one continues from
 * the backup. The receipts of the exchange's clients prove which orders survived. The exit code is 0 if every proof
 * held, otherwise 1.
 */

process.exitCode = await perform((stage) => new Plot(stage).run())
