package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/backstitch/backstitch/connector"
)

// Bounds of asking.
const (
	attempts    = 7 // of one call that is throttled or fails on the other side
	maxBackoff  = 20 * time.Second
	callTimeout = 60 * time.Second
	parallel    = 8      // calls at once
	maxPages    = 20_000 // of one listing
)

// home is the region of the global services when none is configured.
const home = "us-east-1"

// look is one thing that is looked at: a scope with how it is read.
type look struct {
	service string // as in the setting services
	things  string // "ec2:instances"
	read    func(ctx context.Context, m *mapper, config sdk.Config) error
}

// configure makes the SDK's configuration from the settings. Nothing of it is
// ever printed.
func (s source) configure(ctx context.Context, values connector.Values) (sdk.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() sdk.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = attempts, maxBackoff
				if s.backoff != 0 {
					o.MaxBackoff = s.backoff
				}
			})
		}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout).WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = callTimeout
		})),
	}
	if values["profile"] != "" {
		options = append(options, config.WithSharedConfigProfile(values["profile"]))
	}
	if (values["access-key"] == "") != (values["secret-key"] == "") {
		return sdk.Config{}, errors.New("settings access-key and secret-key belong together: one of them is missing")
	}
	if values["access-key"] != "" {
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(values["access-key"], values["secret-key"], values["session-token"])))
	}
	if values["endpoint"] != "" {
		options = append(options, config.WithBaseEndpoint(values["endpoint"]))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, err
	}
	if regions := values.List("regions"); cfg.Region == "" && len(regions) > 0 {
		cfg.Region = regions[0]
	}
	cfg.Region = or(cfg.Region, home)
	return cfg, nil
}

// live asks the APIs, account by account.
func (s source) live(ctx context.Context, values connector.Values, sink connector.Sink) error {
	for _, service := range values.List("services") {
		if !slices.ContainsFunc(looks(), func(l look) bool { return l.service == service }) {
			return fmt.Errorf("setting services names %q: expected some of ec2, ecs, eks, lambda, ecr, s3, iam, elb, rds, tag, organizations, securityhub, inspector2", service)
		}
	}
	base, err := s.configure(ctx, values)
	if err != nil {
		return err
	}
	if err := s.account(ctx, base, values, sink); err != nil {
		return err
	}
	for _, role := range values.List("roles") {
		assumed := base.Copy()
		assumed.Credentials = sdk.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "backstitch"
			if values["external-id"] != "" {
				o.ExternalID = sdk.String(values["external-id"])
			}
		}))
		if err := s.account(ctx, assumed, values, sink); err != nil {
			var closed *shut
			if ctx.Err() != nil || !errors.As(err, &closed) {
				return err
			}
			sink.Gap(role, err)
		}
	}
	return nil
}

// shut says that an account could not be entered at all.
type shut struct{ err error }

func (e *shut) Error() string { return "who am I: " + e.err.Error() }
func (e *shut) Unwrap() error { return e.err }

// account looks at one account in all its regions.
func (s source) account(ctx context.Context, cfg sdk.Config, values connector.Values, sink connector.Sink) error {
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &shut{brief(err)}
	}
	account := sdk.ToString(who.Account)
	if !accountID(account) {
		return &shut{errors.New("the answer names no account of twelve digits")}
	}
	scope := account + "/account"
	if !sink.Done(scope) {
		m := &mapper{sink: sink, scope: scope, method: "sts:GetCallerIdentity", at: place{account: account, source: "aws:" + account}}
		m.caller(caller{Account: account})
		if m.err != nil {
			return m.err
		}
		if err := sink.Covered(scope); err != nil {
			return err
		}
	}
	regions, err := regionsOf(ctx, cfg, values)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		regions = []string{cfg.Region}
		sink.Gap(account+"/regions", fmt.Errorf("which regions are enabled: %w; only %s was looked at", brief(err), cfg.Region))
	}
	return s.all(ctx, cfg, account, regions, values, sink)
}

// regionsOf lists the regions to look at.
func regionsOf(ctx context.Context, cfg sdk.Config, values connector.Values) ([]string, error) {
	if regions := values.List("regions"); len(regions) > 0 {
		return regions, nil
	}
	answer, err := ec2.NewFromConfig(cfg).DescribeRegions(ctx, nil)
	if err != nil {
		return nil, err
	}
	var regions []string
	for _, region := range answer.Regions {
		regions = append(regions, sdk.ToString(region.RegionName))
	}
	slices.Sort(regions)
	return regions, nil
}

// all runs every look of an account, some at once.
func (s source) all(ctx context.Context, cfg sdk.Config, account string, regions []string, values connector.Values, sink connector.Sink) error {
	type task struct {
		look
		region string
	}
	var tasks []task
	for _, l := range looks() {
		if wanted := values.List("services"); len(wanted) > 0 && !slices.Contains(wanted, l.service) {
			continue
		}
		if global(l.service) {
			tasks = append(tasks, task{l, ""})
			continue
		}
		for _, region := range regions {
			tasks = append(tasks, task{l, region})
		}
	}
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, t := range tasks {
		group.Go(func() error {
			where := cfg.Copy()
			if t.region != "" {
				where.Region = t.region
			}
			at := place{account: account, region: t.region, source: "aws:" + account + "/" + or(t.region, "global")}
			err := t.run(ctx, where, at, sink)
			sink.Progress("asking AWS about "+account, int(done.Add(1)), len(tasks))
			return err
		})
	}
	return group.Wait()
}

func global(service string) bool {
	return service == "iam" || service == "s3" || service == "organizations"
}

// run reads one scope. Only an error of the sink or the end of ctx ends the run.
func (l look) run(ctx context.Context, cfg sdk.Config, at place, sink connector.Sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	scope := at.account + "/" + or(at.region, "global") + "/" + l.things
	if sink.Done(scope) {
		return nil
	}
	m := &mapper{sink: sink, scope: scope, at: at, policies: map[string][]statement{}}
	err := l.read(ctx, m, cfg)
	switch {
	case m.err != nil:
		return m.err
	case ctx.Err() != nil:
		return ctx.Err()
	case notEnabled(err):
		sink.Note(scope, brief(err).Error()) // nothing was looked at, so nothing is covered
		return nil
	case err != nil:
		sink.Gap(scope, brief(err))
		return nil
	case m.gaps > 0:
		return nil
	}
	return sink.Covered(scope)
}

// notEnabled says whether a service answers that it is not in use here.
func notEnabled(err error) bool {
	var fault smithy.APIError
	if !errors.As(err, &fault) {
		return false
	}
	switch fault.ErrorCode() {
	case "AWSOrganizationsNotInUseException", "InvalidAccessException":
		return true
	}
	return fault.ErrorCode() == "AccessDeniedException" && strings.Contains(fault.ErrorMessage(), "not enabled")
}

// brief says what went wrong without request numbers, which differ every time,
// nor the encoded messages that some services append.
func brief(err error) error {
	operation := ""
	var call *smithy.OperationError
	if errors.As(err, &call) {
		operation = strings.ToLower(call.ServiceID) + ":" + call.OperationName + ": "
	}
	var fault smithy.APIError
	if errors.As(err, &fault) {
		message, _, _ := strings.Cut(fault.ErrorMessage(), "Encoded authorization failure message")
		return fmt.Errorf("%s%s: %s", operation, fault.ErrorCode(), strings.TrimSpace(bounded(message)))
	}
	var broken *smithy.DeserializationError
	if errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%sthe answer was cut off or is none of AWS", operation)
	}
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() != 0 {
		return fmt.Errorf("%sHTTP status %d", operation, answer.HTTPStatusCode())
	}
	var network *url.Error
	if errors.As(err, &network) {
		return fmt.Errorf("%sno answer: %w", operation, network.Err)
	}
	if call != nil {
		return fmt.Errorf("%s%s", operation, bounded(call.Err.Error()))
	}
	return err
}

// code gives the code of an API's error, "" for others.
func code(err error) string {
	var fault smithy.APIError
	if errors.As(err, &fault) {
		return fault.ErrorCode()
	}
	return ""
}

// pager is a paginator of the SDK.
type pager[O, P any] interface {
	HasMorePages() bool
	NextPage(ctx context.Context, options ...func(*O)) (*P, error)
}

// pages asks page after page and gives each to the mapping and to also, which
// may be nil.
func pages[O, P any](ctx context.Context, m *mapper, p pager[O, P], also func(*P) error) error {
	return walk(ctx, p, func(page *P) error {
		if err := m.page(page); err != nil || also == nil {
			return err
		}
		return also(page)
	})
}

// walk asks page after page.
func walk[O, P any](ctx context.Context, p pager[O, P], each func(*P) error) error {
	for n := 0; p.HasMorePages(); n++ {
		if n == maxPages {
			return fmt.Errorf("more than %d pages", maxPages)
		}
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		if err := each(page); err != nil {
			return err
		}
	}
	return nil
}

// page maps an answer of the SDK as if it stood in a file.
func (m *mapper) page(answer any) error {
	data, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return m.read(data)
}
