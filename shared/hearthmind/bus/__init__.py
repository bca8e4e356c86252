"""The bus: connecting, publishing, consuming, settling, leases, dead letters. Can be imported without FastStream."""
