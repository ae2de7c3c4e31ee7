package lockfile

func wantsNPM(base string) bool { return false }

func readNPM(s *source, files []string) []Module { return nil }
