module ltxd.invalid/golden

go 1.24

require (
	github.com/superfly/ltx v0.5.3
	ltxd.invalid/ltx051 v0.0.0
)

require github.com/pierrec/lz4/v4 v4.1.23 // indirect

replace ltxd.invalid/ltx051 => github.com/superfly/ltx v0.5.1
