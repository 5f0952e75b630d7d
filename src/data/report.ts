/** The number of the format of the reports below `diverged/`. */
export const REPORT_FORMAT = 1
