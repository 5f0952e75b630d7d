/** `--strict` of the commands that read a backup around its damage. */

export const STRICT =
  'exit with 3 if there was a warning: an object of the backup is damaged or missing, although the result is complete ' +
  'without it, or a clock was wrong at the moment that was asked for'

export const DONE_WITH_WARNINGS = 3
