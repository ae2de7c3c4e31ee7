package lockfile

func wantsPython(base string) bool { return false }

func readPython(s *source, files []string) []Module { return nil }
