package advice

import "strings"

// called are official images that products' lists call by another name.
var called = map[string]string{
	"alpine": "alpine-linux", "golang": "go", "node": "nodejs", "postgres": "postgresql", "mongo": "mongodb", "httpd": "apache-http-server", "rockylinux": "rocky-linux",
	"oraclelinux": "oracle-linux", "amazonlinux": "amazon-linux", "eclipse-temurin": "eclipse-temurin", "amazoncorretto": "amazon-corretto", "openjdk": "oracle-jdk",
	"maven": "apache-maven", "groovy": "apache-groovy", "cassandra": "apache-cassandra", "jetty": "eclipse-jetty", "vault": "hashicorp-vault", "kong": "kong-gateway",
}

// Official gives the name of an official image for its repository with registry, also
// where a mirror serves it; false for any other image.
func Official(repository string) (string, bool) {
	for _, prefix := range []string{"docker.io/library/", "index.docker.io/library/", "public.ecr.aws/docker/library/", "mirror.gcr.io/library/"} {
		if name, ok := strings.CutPrefix(repository, prefix); ok && !strings.Contains(name, "/") {
			return name, true
		}
	}
	return "", false
}

// Product gives the short name of the product that an image is of in lists of products'
// cycles, "" when no rule says it.
func Product(repository string) string {
	if strings.HasPrefix(repository, "mcr.microsoft.com/dotnet/") {
		return "dotnet"
	}
	name, ok := Official(repository)
	if !ok {
		return ""
	}
	if other := called[name]; other != "" {
		return other
	}
	return name
}
