package lifecycle

import (
	"regexp"
	"strings"
)

// pin is a runtime at a version, as a file of a repository asks for it.
type pin struct {
	product, version string
	line             int
}

// pinned are files that pin one runtime.
var pinned = map[string]string{
	".nvmrc": "nodejs", ".node-version": "nodejs", ".python-version": "python", ".ruby-version": "ruby",
	".go-version": "go", ".terraform-version": "terraform",
}

// pinning says whether a file of that name pins runtimes.
func pinning(base string) bool {
	return pinned[base] != "" || base == ".tool-versions" || base == ".sdkmanrc" || base == "go.mod"
}

// asdf and sdkman are names of plugins and candidates that differ from the product's.
var (
	asdf = map[string]string{
		"node": "nodejs", "golang": "go", "postgres": "postgresql", "maven": "apache-maven", "vault": "hashicorp-vault",
		"packer": "hashicorp-packer", "groovy": "apache-groovy", "dotnet-core": "dotnet", "kubectl": "kubernetes",
	}
	sdkman = map[string]string{
		"maven": "apache-maven", "groovy": "apache-groovy", "ant": "apache-ant", "springboot": "spring-boot",
		"quarkus": "quarkus-framework", "spark": "apache-spark", "hadoop": "apache-hadoop", "flink": "apache-flink",
	}
	// javas are makers of Java: in front of a version of asdf, behind one of SDKMAN.
	javas = map[string]string{
		"temurin": "eclipse-temurin", "corretto": "amazon-corretto", "zulu": "azul-zulu", "liberica": "bellsoft-liberica",
		"oracle": "oracle-jdk", "microsoft": "microsoft-build-of-openjdk", "semeru": "ibm-semeru", "sapmachine": "sapmachine", "graalvm": "graalvm-ce", "dragonwell": "alibaba-dragonwell", "mandrel": "mandrel",
		"tem": "eclipse-temurin", "amzn": "amazon-corretto", "librca": "bellsoft-liberica", "ms": "microsoft-build-of-openjdk", "sem": "ibm-semeru",
		"sapmchn": "sapmachine", "graal": "oracle-graalvm", "graalce": "graalvm-ce", "albba": "alibaba-dragonwell",
	}
)

var toolchain = regexp.MustCompile(`^toolchain\s+go([0-9]+\.[0-9]+\S*)`)

// pins reads a file that pins runtimes. What is no version (lts/*, system, a path) is
// left out.
func pins(base, text string) []pin {
	var found []pin
	add := func(product, told string, line int) {
		if v := strings.TrimPrefix(told, "v"); product != "" && version.MatchString(v) {
			found = append(found, pin{product, v, line})
		}
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch product := pinned[base]; {
		case product != "":
			add(product, strings.TrimPrefix(words[0], product+"-"), number)
		case base == ".tool-versions":
			for _, told := range words[1:] {
				if words[0] == "java" {
					maker, v, _ := strings.Cut(told, "-")
					add(javas[maker], strings.TrimPrefix(v, "openj9-"), number)
				} else {
					add(other(asdf, words[0]), told, number)
				}
			}
		case base == ".sdkmanrc":
			name, told, _ := strings.Cut(strings.ReplaceAll(line, " ", ""), "=")
			if name == "java" {
				if at := strings.LastIndexByte(told, '-'); at > 0 {
					add(javas[told[at+1:]], told[:at], number)
				}
			} else {
				add(other(sdkman, name), told, number)
			}
		case base == "go.mod":
			if m := toolchain.FindStringSubmatch(line); m != nil {
				add("go", m[1], number)
			}
		}
	}
	return found
}

func other(names map[string]string, name string) string {
	if product, ok := names[name]; ok {
		return product
	}
	return name
}
