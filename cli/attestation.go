package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/image/attestation"
)

// trust is whom a command believes, as its flags say.
type trust struct {
	keys, roots, identities []string
	issuer                  string
}

func (t *trust) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&t.keys, "key", nil, "file with public keys in PEM that may sign; may be given again")
	cmd.Flags().StringArrayVar(&t.roots, "trusted-root", nil, "file trusted_root.json of Sigstore; may be given again")
	cmd.Flags().StringArrayVar(&t.identities, "identity", nil, "who may sign with a certificate, * for any characters; may be given again")
	cmd.Flags().StringVar(&t.issuer, "issuer", "", "who must have vouched for the identity, for example https://token.actions.githubusercontent.com")
}

func (t *trust) policy() (attestation.Policy, error) {
	var policy attestation.Policy
	for _, name := range t.keys {
		data, err := readSmall(name)
		if err != nil {
			return policy, err
		}
		keys, err := attestation.ParseKeys(name, data)
		if err != nil {
			return policy, err
		}
		policy.Keys = append(policy.Keys, keys...)
	}
	for _, name := range t.roots {
		data, err := readSmall(name)
		if err != nil {
			return policy, err
		}
		roots, err := attestation.ParseRoots(name, data)
		if err != nil {
			return policy, err
		}
		policy.Roots = append(policy.Roots, roots...)
	}
	for _, identity := range t.identities {
		policy.Identities = append(policy.Identities, attestation.Identity{Subject: identity, Issuer: t.issuer})
	}
	if t.issuer != "" && len(t.identities) == 0 {
		return policy, errors.New("--issuer needs --identity")
	}
	return policy, policy.Check()
}

// maxSmall bounds files that are read whole.
const maxSmall = 64 << 20

func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSmall+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSmall {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, maxSmall>>20)
	}
	return data, nil
}

func readAttestations(names []string) ([]*attestation.Attestation, error) {
	var all []*attestation.Attestation
	for _, name := range names {
		data, err := readSmall(name)
		if err != nil {
			return nil, err
		}
		some, err := attestation.Read(name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

var sha256Form = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func newAttestation(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "attestation", Short: "What is said of an image, and who signed it"}
	var believed trust
	var digests []string
	verify := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Verify attestations offline and print what was verified, and by what",
		Long: "Verifies in-toto statements in DSSE envelopes and Sigstore bundles against the\n" +
			"given keys and trusted roots, without any network. Exit code 1 when one is refused.",
		Example: "backstitch image attestation verify provenance.jsonl --digest sha256:... --trusted-root trusted_root.json \\\n" +
			"  --identity 'https://github.com/acme/shop/.github/workflows/*@refs/tags/*' --issuer https://token.actions.githubusercontent.com",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, err := believed.policy()
			if err != nil {
				return err
			}
			if policy.Empty() {
				return errors.New("nothing to verify by: expected --key, or --trusted-root with --identity and --issuer")
			}
			for _, digest := range digests {
				if !sha256Form.MatchString(digest) {
					return fmt.Errorf("--digest %s: expected sha256: and 64 hexadecimal digits", digest)
				}
			}
			list, err := readAttestations(args)
			if err != nil {
				return err
			}
			return s.verify(list, policy, digests)
		},
	}
	believed.flags(verify)
	verify.Flags().StringArrayVar(&digests, "digest", nil, "digest of the image that they must speak of, or of an index that holds it; may be given again")
	parent.AddCommand(verify)
	return parent
}

// verify prints what each attestation is worth and says no when one is refused.
func (s *streams) verify(list []*attestation.Attestation, policy attestation.Policy, digests []string) error {
	results, refused := make([]*attestation.Result, len(list)), 0
	for i, a := range list {
		if results[i] = a.Verify(policy, digests); results[i].Err != nil {
			refused++
		}
	}
	if s.output == "json" {
		if err := s.json(results); err != nil {
			return err
		}
	} else if err := writeResults(s.out, results, len(digests) > 0); err != nil {
		return err
	}
	if refused > 0 {
		return gate("%d of %d attestations are refused", refused, len(list))
	}
	return nil
}

func writeResults(out io.Writer, results []*attestation.Result, bound bool) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-10s %s\n", name, plain(value))
		}
	}
	for _, r := range results {
		fmt.Fprintf(&b, "%s\n", plain(r.Name))
		if r.Refused != "" {
			line("refused", r.Refused)
			continue
		}
		line(string(r.Strength), r.PredicateType)
		for i, subject := range r.Subjects {
			if i == 5 {
				line("subject", fmt.Sprintf("and %d more", len(r.Subjects)-i))
				break
			}
			line("subject", subject.Name+" sha256:"+subject.Digest["sha256"])
		}
		if r.Source != nil && r.Source.Repository != "" {
			line("source", r.Source.Repository+"@"+r.Source.Commit)
			line("run", r.Source.Run)
		}
		for _, checked := range r.Checked {
			line("checked", checked)
		}
		if !bound {
			line("open", "whether it is of your image: give --digest")
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
