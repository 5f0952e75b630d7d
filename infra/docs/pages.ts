/** The generated pages below docs/. `npm run docs` writes them, and a test compares them with the code. */

import { commandsPage } from './commands.ts'
import { configurationPage } from './configuration.ts'
import { metricsPage } from './metrics.ts'

export const GENERATED_PAGES: Readonly<Record<string, () => string | Promise<string>>> = {
  'docs/commands.md': commandsPage,
  'docs/configuration.md': configurationPage,
  'docs/metrics.md': metricsPage,
}
