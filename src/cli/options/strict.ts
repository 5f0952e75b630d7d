/** `--strict` of the commands that read a backup around its damage. */

export const STRICT =
  'exit with 3 if an object of the backup is damaged or missing, although the result is complete without it'

export const DONE_WITH_WARNINGS = 3
